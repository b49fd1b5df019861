"""`Cache`: keyed state over a registered backend, as a dictionary, a sink and a source."""

from __future__ import annotations

import asyncio
import warnings
import weakref
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from slipcore.choice import Choice, choose
from slipcore.codecs import ExactCodec, TypedCodec
from slipcore.engine.distant import SpaceFromThread
from slipcore.engine.state import Space
from slipcore.engine.threads import LOOPS, is_away
from slipcore.interfaces import (
    ConfigError,
    DecodeError,
    EncodeError,
    ICache,
    ICodec,
    IStateStore,
    Key,
    StateError,
)
from slipcore.keys import bounds, decode_key, encode_key, prefix_range
from slipcore.resources import make_codec, named_codec
from slipcore.transactions import KeyLocks, Transaction

if TYPE_CHECKING:
    from slipcore.app import App

HOT_VALUES: Final = 50_000
"""Decoded values that a cache keeps for the next read."""

HOT_SIZE: Final = 1_000
"""Characters or bytes that such a value has at the most."""

_DELETED_TOGETHER: Final = 10_000
"""Keys in one write while a whole cache is forgotten."""

_MISSING: Final = object()

_UNCHANGING: Final = frozenset({int, float, str, bytes, bool, type(None)})
"""Types whose values may be handed out twice, because nobody can change them."""

_SIZED: Final = frozenset({str, bytes})


class Cache(ICache):
    """Keyed state that outlives the process, in the backend that the configuration names.

    >>> cache = Cache('db/mycache', backend='memory')

    The instance can be called to store data; those who iterate over it see every such call:

    >>> _ = cache('key', {'msg': 'Hello World!'})
    >>> cache['key']
    {'msg': 'Hello World!'}

    Nothing that was put is ever dropped. What comes out equals what went in, type included.
    Writes are visible at once; in a handler they are durable with its record, elsewhere at once.
    Keys are kept in order: bools, numbers by value, strings, bytes, tuples.

    `read_opt` and `write_opt` of its methods are accepted as hints too. What only one backend can
    do is done with its own object, `db`.

    Args:
        path: its name; on sqlite a namespace in the app's database, on rocks a directory.
        options, column_families, access_type, target_table_size, number_of_locks: accepted by
            every backend as hints; none makes it forget.
        backend: the backend's name, over all configuration.
        codec: how values are written: a name or an `ICodec`; default: exactly, type included.
        type: what all values are: a dataclass, Struct or TypedDict.
        app: the App it belongs to; default the current one.
    """

    def __init__(
        self,
        path: str,
        options: Any = None,
        column_families: Any = None,
        access_type: Any = None,
        target_table_size: int | None = None,
        number_of_locks: int | None = None,
        *,
        backend: str | None = None,
        codec: ICodec | str | None = None,
        type: Any = None,
        app: App | None = None,
    ) -> None:
        from slipcore.current import current_app

        self.app = app if app is not None else current_app()
        self.name = str(path)
        self.hints = {
            "options": options,
            "column_families": column_families,
            "access_type": access_type,
            "target_table_size": target_table_size,
            "number_of_locks": number_of_locks,
        }
        self._backend = backend
        self._codec = codec
        self._type = type
        self._hot_types = _UNCHANGING if type is None else frozenset[Any]()
        self._opened: Space | None = None
        self._near: Space | None = None
        """The open one, where asking it blocks nobody."""
        self._values: ICodec = ExactCodec()
        self._locks = KeyLocks()
        self._warned = False
        self._release: Callable[[], Any] = lambda: None
        self.app.caches.add(self)

    def __repr__(self) -> str:
        return f"Cache({self.name!r})"

    def choice(self) -> Choice:
        """Which backend it has, and why."""
        return choose(
            "cache",
            self.name,
            plugins=self.app.plugins,
            config=self.app.config,
            backend=self._backend,
        )

    def open(self) -> Space:
        """Claim its space of the store, if that is not done yet.

        Raises:
            ConfigError: a setting or name is wrong.
            StateInUseError: another process, or another Cache of that name, has it open.
        """
        if self._opened is None:
            choice = self.choice()
            store = choice.backend.load()(self.name, choice.options(), self.app.scope)
            if not isinstance(store, IStateStore):
                raise ConfigError(
                    f"{choice.resource}: '{choice.backend.name}' of {choice.backend.owner} "
                    "is no IStateStore."
                )
            self._values = self._make_codec()
            store.attach(self.name)
            self._opened = Space(store, self.name, HOT_VALUES)
            self._near = None if store.remote else self._opened
            self._release = weakref.finalize(self, store.detach, self.name)
        return self._opened

    def _make_codec(self) -> ICodec:
        entry = self.app.config.entry("caches", self.name)
        codec, asked = named_codec(self._codec, entry.get("codec"))
        if codec is not None:
            return make_codec(self.app, codec, self._type, f"cache '{self.name}', codec {asked}")
        return ExactCodec() if self._type is None else TypedCodec(self._type)

    def close(self) -> None:
        """Give the space up; the next use claims it again."""
        self._opened = self._near = None
        self._release()

    @property
    def db(self) -> Any:
        """The backend's own database object: on rocks the `rocksdict.Rdict`.

        Its keys and values are encoded. What is done through it is no part of a generation: it is
        neither undone nor written with positions, and values that were read before may be given
        again.

        Raises:
            StateError: the backend has none.
        """
        return self._space().store.database(self.name)

    def path(self) -> str:
        """Where its database is; its name where the backend has no place of its own for it."""
        return str(self._ask_database("path", default=self.name))

    def flush(self, wait: bool = True) -> None:
        """Have the backend write what it holds in memory to its tables, where it has such.

        What was put outlives the process without it.
        """
        self._ask_database("flush", wait)

    def flush_wal(self, sync: bool = True) -> None:
        """Have the backend write its log, to the disk itself with `sync`, where it has one."""
        self._ask_database("flush_wal", sync)

    def _ask_database(self, method: str, *args: Any, default: Any = None) -> Any:
        store = self._space().store
        if type(store).database is IStateStore.database:  # the contract's, which refuses
            return default
        asked = getattr(store.database(self.name), method, None)
        return default if asked is None else asked(*args)

    def destroy(self, options: Any = None) -> None:
        """Forget all keys, and close it; what sources have reached stays as it is.

        Args:
            options: a hint.
        """
        found = self._scan(None, None, False)
        while page := [key for key, _ in islice(found, _DELETED_TOGETHER)]:
            self._forget(page)
        self.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- the dictionary -------------------------------------------------------------------

    def __contains__(self, key: Any) -> bool:
        return self._space().get(encode_key(key)) is not None

    def __getitem__(self, key: Any) -> Any:
        """The value, or None; for a list of keys the list of their values."""
        if isinstance(key, list):
            return [self.get(k) for k in key]
        return self.get(key)

    def __setitem__(self, key: Key, val: Any) -> None:
        self.put(key, val)

    def __delitem__(self, key: Key) -> None:
        self.delete(key)

    def get(self, key: Any, default: Any = None, read_opt: Any = None) -> Any:
        """The value of a key, or `default`; for a list of keys the list of their values."""
        if isinstance(key, list):
            return [self.get(k, default) for k in key]
        space = self._space() if LOOPS or self._near is None else self._near
        encoded = encode_key(key)
        value = space.hot.get(encoded, _MISSING)
        if value is not _MISSING:
            return value
        data = space.get(encoded)
        if data is None:
            return default
        return self._decoded(space, encoded, data)

    def key_may_exist(
        self, key: Key, fetch: bool = False, read_opt: Any = None
    ) -> bool | tuple[bool, Any]:
        """Whether a key is there, which is known for sure; with `fetch` its value too, or None."""
        if not fetch:
            return key in self
        value = self.get(key, _MISSING)
        return (False, None) if value is _MISSING else (True, value)

    def put(self, key: Key, value: Any, write_opt: Any = None) -> None:
        """Store a value.

        Raises:
            EncodeError: the key or value is of a type that can't be kept exactly.
            StateError: it could not be written; nothing has changed.
        """
        space = self._space() if LOOPS or self._near is None else self._near
        encoded = encode_key(key)
        space.put(encoded, self._encoded(key, value))
        self._keep_hot(space, encoded, value)

    def delete(self, key: Key, write_opt: Any = None) -> None:
        """Forget a key; one that is not there is ignored."""
        space = self._space() if LOOPS or self._near is None else self._near
        encoded = encode_key(key)
        space.put(encoded, None)
        space.hot.pop(encoded, None)

    def delete_range(self, begin: Key, end: Key, write_opt: Any = None) -> None:
        """Forget the keys from `begin` up to, not including, `end`: all of them or none."""
        self._forget([key for key, _ in self._scan(bounds(begin)[0], bounds(end)[0], False)])

    def _forget(self, encoded: list[bytes]) -> None:
        space = self._space()
        with self.transaction():
            for key in encoded:
                space.put(key, None)
                space.hot.pop(key, None)

    async def aget(self, key: Key, default: Any = None) -> Any:
        """`get` without blocking the loop."""
        space = self.open()
        encoded = encode_key(key)
        value = space.hot.get(encoded, _MISSING)
        if value is not _MISSING:
            return value
        data = await space.aget(encoded)
        return default if data is None else self._decoded(space, encoded, data)

    async def aset(self, key: Key, value: Any) -> None:
        """`put` without blocking the loop."""
        space = self.open()
        encoded = encode_key(key)
        await space.aput(encoded, self._encoded(key, value))
        self._keep_hot(space, encoded, value)

    async def adelete(self, key: Key) -> None:
        """`delete` without blocking the loop."""
        space = self.open()
        encoded = encode_key(key)
        await space.aput(encoded, None)
        space.hot.pop(encoded, None)

    # --- in order -------------------------------------------------------------------------

    def items(
        self,
        backwards: bool = False,
        from_key: Key | None = None,
        read_opt: Any = None,
        prefix: Key | None = None,
    ) -> Iterator[tuple[Any, Any]]:
        """Keys and values in the order of keys.

        Args:
            backwards: from the last to the first.
            from_key: begin at this key, or at the next there is in that direction.
            read_opt: a hint.
            prefix: only strings (or bytes) that begin so, or tuples that begin with these.
        """
        start, end = prefix_range(prefix) if prefix is not None else (None, None)
        if from_key is not None:
            first, after = bounds(from_key)
            if backwards:
                end = min(end, after) if end is not None else after
            else:
                start = max(start, first) if start is not None else first
        for key, value in self._scan(start, end, backwards):
            yield decode_key(key), self._values.decode(value)

    def keys(
        self,
        backwards: bool = False,
        from_key: Key | None = None,
        read_opt: Any = None,
        prefix: Key | None = None,
    ) -> Iterator[Any]:
        """The keys in order; arguments as for `items`."""
        for key, _ in self.items(backwards, from_key, read_opt, prefix):
            yield key

    def values(
        self,
        backwards: bool = False,
        from_key: Key | None = None,
        read_opt: Any = None,
        prefix: Key | None = None,
    ) -> Iterator[Any]:
        """The values in the order of their keys; arguments as for `items`."""
        for _, value in self.items(backwards, from_key, read_opt, prefix):
            yield value

    # --- together -------------------------------------------------------------------------

    def transaction(self, *keys: Key) -> Transaction:
        """A block that no other transaction on these keys enters, undone if it raises.

        >>> cache = Cache('prizes', backend='memory')
        >>> with cache.transaction('fish'):
        ...     cache['fish'] = '🐟'

        `async with` waits for keys that are held; `with` raises StateError. Actions outside of
        transactions do not wait for it.

        Raises:
            DeadlockError: waiting would never end.
            StateError: in a handler with `threads=`.
        """
        if LOOPS and is_away():
            raise StateError(
                f"A transaction of {self!r} belongs to the event loop, and this handler runs in a "
                "thread: make it `async def` with concurrency=, or do without."
            )
        named = {encode_key(key): key for key in keys}
        return Transaction(self._opened or self.open(), self._locks, named)

    def _space(self) -> Space:
        space = self._opened or self.open()
        if LOOPS and is_away():
            return SpaceFromThread(space)
        if space.store.remote and not self._warned:
            self._warn_blocking()
        return space

    def _warn_blocking(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._warned = True
        warnings.warn(
            f"{self!r} is remote: its dictionary face blocks the event loop. Await aget, aset and "
            "adelete instead.",
            stacklevel=4,
        )

    def _scan(
        self, start: bytes | None, end: bytes | None, backwards: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._space().scan(start, end, backwards)

    def _encoded(self, key: Key, value: Any) -> bytes:
        try:
            return self._values.encode(value)
        except Exception as error:
            raise EncodeError(f"{self!r} can't keep the value of {key!r}: {error}") from error

    def _decoded(self, space: Space, key: bytes, data: bytes) -> Any:
        try:
            value = self._values.decode(data)
        except Exception as error:
            raise DecodeError(
                f"{self!r} holds under {decode_key(key)!r} what its codec can't read: {error}"
            ) from error
        self._keep_hot(space, key, value)
        return value

    def _keep_hot(self, space: Space, key: bytes, value: Any) -> None:
        """Keep a decoded value that nobody can change for the next reads."""
        kind, hot = type(value), space.hot
        if kind not in self._hot_types or (kind in _SIZED and len(value) > HOT_SIZE):
            hot.pop(key, None)
            return
        hot[key] = value
        if len(hot) > space.hot_size:
            hot.clear()  # what is wanted is soon back; to drop the oldest one costs more each time
