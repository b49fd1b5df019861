"""Topics, sources, sinks and codecs: a name becomes a backend instance, at start or first use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from slipcore.choice import EMBEDDED, Choice, choose
from slipcore.engine.delivery import Lane
from slipcore.engine.sources import SourceStream
from slipcore.interfaces import (
    ConfigError,
    ICodec,
    ISink,
    ISource,
    ITopic,
    ITopicCodec,
    Out,
    Part,
    Record,
)
from slipcore.opened import OpenTopic
from slipcore.settings import Setting

if TYPE_CHECKING:
    from slipcore.app import App

T = TypeVar("T")


def named_codec(
    code: ICodec | str | None, *settings: Setting | None
) -> tuple[ICodec | str | None, str]:
    """The codec that code or the first of the settings names, and where it is named."""
    if code is None:
        for setting in settings:
            if setting is not None:
                return str(setting.value), f"of {setting.origin}"
    return code, "in code"


def _default_codec(type_: Any) -> str:
    return "json" if type_ is not None else EMBEDDED["codec"]


def make_codec(app: App, codec: ICodec | str | None, type_: Any, what: str) -> ICodec:
    """A codec from what was given: an instance, a name, or nothing (the default)."""
    if isinstance(codec, ICodec):
        if type_ is not None:
            raise ConfigError(f"{what} has codec={codec!r} and type=; a codec by name takes type=.")
        return codec
    if codec is not None and not isinstance(codec, str):
        raise ConfigError(f"{what}: codec= takes a name or an ICodec, not {codec!r}.")
    name = codec if codec is not None else _default_codec(type_)
    backend = None if "backend" in app.config.entry("codecs", name) else name
    choice = choose(
        "codec", name, plugins=app.plugins, config=app.config, backend=backend, asked_by=what
    )
    made = choice.backend.load()(choice.options(), type_)
    if not isinstance(made, ICodec):
        raise ConfigError(f"{what}: the codec '{name}' of {choice.backend.owner} is no ICodec.")
    return made


class Topic:
    """A named log that is both a source and a sink.

    >>> topic = Topic('emoji', backend='memory')

    Loop over it to consume from it, call it to produce to it:

    >>> async def main():
    ...     await topic(key='trophy', value='🏆')
    ...     async for msg in topic:
    ...         print(msg.key, msg.value)

    Args:
        name: the topic's name in its backend.
        conf: settings, over those of `Conf`; kept as they are in `conf`.
        offset: where to start at each start, for all partitions or by partition:
            an offset, `READ_FROM_START` or `READ_FROM_END`; None: where the group or the state
            stands.
        codec: for values, a name or an `ICodec`; default "text", with `type=` "json".
        dry: send nothing; log what would be sent.
        key_codec: for keys; default "text", with codec "raw" "raw".
        type: what values decode into, for a codec by name: a Struct, dataclass, TypedDict.
        backend: the backend's name, over all configuration.
        app: the App it belongs to; default the current one.
    """

    def __init__(
        self,
        name: str,
        conf: Mapping[str, Any] | None = None,
        offset: int | Mapping[int, int] | None = None,
        codec: ICodec | str | None = None,
        dry: bool = False,
        *,
        key_codec: ICodec | str | None = None,
        type: Any = None,
        backend: str | None = None,
        app: App | None = None,
    ) -> None:
        from slipcore.current import current_app

        self.app = app if app is not None else current_app()
        self.name = name
        self.conf: dict[str, Any] = {**self.app.conf, **(conf or {})}
        self.offset = offset
        self.dry = dry
        self._codec = codec
        self._key_codec = key_codec
        self._type = type
        self._backend = backend
        self._bare: (
            tuple[asyncio.AbstractEventLoop, OpenTopic, AsyncGenerator[None, None]] | None
        ) = None
        self._bare_stream: SourceStream | None = None
        self.app.topics.add(self)

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"

    def choice(self) -> Choice:
        """Which backend it has, and why."""
        return choose(
            "topic",
            self.name,
            plugins=self.app.plugins,
            config=self.app.config,
            backend=self._backend,
            conf=self.conf,
        )

    def make(self) -> OpenTopic:
        """A new backend instance with its codecs, not opened yet.

        Raises:
            ConfigError: a setting, name or codec is wrong.
        """
        choice = self.choice()
        codec, key_codec = self.codecs()
        codec, key_codec = self._own(codec, "value"), self._own(key_codec, "key")
        backend = choice.backend.load()(self.name, choice.options(), self.app.scope)
        if not isinstance(backend, ITopic):
            raise ConfigError(
                f"{choice.resource}: '{choice.backend.name}' of {choice.backend.owner} is no topic."
            )
        return OpenTopic(self, choice, backend, codec, key_codec)

    def codecs(self) -> tuple[ICodec, ICodec]:
        """The codecs of values and of keys.

        Raises:
            ConfigError: a name or a type is wrong.
        """
        codec, asked = self._named_codec()
        entry = self.app.config.entry("topics", self.name)
        key_codec, key_asked = named_codec(self._key_codec, entry.get("key_codec"), None)
        if key_codec is None:
            key_codec = "raw" if codec == "raw" else "text"
        what = f"topic '{self.name}'"
        return (
            make_codec(self.app, codec, self._type, f"{what}, codec {asked}"),
            make_codec(self.app, key_codec, None, f"{what}, key_codec {key_asked}"),
        )

    def codec_name(self) -> str:
        """What codes the values: a codec's name, or its type where it was made in code."""
        codec, _ = self._named_codec()
        if codec is None:
            return _default_codec(self._type)
        return codec if isinstance(codec, str) else type(codec).__name__

    def _named_codec(self) -> tuple[ICodec | str | None, str]:
        entry = self.app.config.entry("topics", self.name)
        default = self.app.config.default("codec") if self._type is None else None
        return named_codec(self._codec, entry.get("codec"), default)

    def _own(self, codec: ICodec, part: Part) -> ICodec:
        return codec.bind(self.name, part) if isinstance(codec, ITopicCodec) else codec

    def identity(self) -> tuple[str, str, str]:
        """Backend, name and group: topics of one identity are one source."""
        choice = self.choice()
        group = getattr(choice.options(), "group_id", None) or self.app.name
        return choice.backend.name, self.name, group

    def agree_with(self, other: Topic) -> None:
        """See that two topics of one identity can be read as one.

        Raises:
            ConfigError: they have differing settings.
        """
        if self._reading() != other._reading():
            raise ConfigError(
                f"Two topics '{self.name}' of group '{self.identity()[2]}' have differing "
                "settings; they are one source: use one Topic object, or give them groups of "
                "their own."
            )

    def _reading(self) -> tuple[Any, ...]:
        """All that makes a difference to who reads."""
        return (self.choice().options(), *map(type, self.codecs()), self._type, self.offset)

    async def __call__(
        self,
        *args: Any,
        key: Any = None,
        value: Any = None,
        headers: Sequence[tuple[str, bytes]] | Mapping[str, bytes] = (),
        timestamp: int | None = None,
        partition: int | None = None,
    ) -> None:
        """Send one record and wait until it is durable: `topic(value)` or `topic(key, value)`.

        Outside of a run it opens a client of its own, which is closed by `aclose()`, or at the end
        of the event loop.

        Raises:
            EncodeError: a key or value that its codec can't write.
            SinkError: it did not become durable.
        """
        if len(args) > 2:
            raise TypeError(f"topic(key, value) takes 2 positional arguments, not {len(args)}")
        if len(args) == 2:
            key, value = args
        elif args:
            value = args[0]
        opened = await self._opened()
        await opened.open()
        pairs = tuple(headers.items()) if isinstance(headers, Mapping) else tuple(headers)
        waiting = opened.send(Out(value, key, pairs, timestamp, partition))
        if waiting is not None:
            await waiting
        await opened.flush()

    async def __aiter__(self) -> AsyncIterator[Record]:
        """Records as they come. One is finished when the next is asked for."""
        opened = self.make()
        stream = opened.stream(self.app)
        stream.attach(Lane.bare(f"{self.app.name}/-/{stream.name}"))
        await stream.open()
        self._bare_stream = stream
        try:
            async with aclosing(stream.iterate()) as records:
                async for record in records:
                    yield record
        finally:
            self._bare_stream = None
            await stream.close()

    async def seek(self, offset: int | Mapping[int, int], *, timeout: float = 30.0) -> None:
        """Go on elsewhere: at an offset, `READ_FROM_START` or `READ_FROM_END`.

        It takes effect when the record in hand is finished, and moves the committed and stored
        positions too; state is not rolled back. It never waits for a handler, so that one may
        call it. Before the start it says where the topic starts.

        Args:
            offset: for all partitions, or by partition.
            timeout: seconds to wait for it where no handler is running.

        Raises:
            SourceError: a partition or an offset that is not there. Within a handler an offset is
                only tried when it is through, and then it is the run that fails.
        """
        stream = self._bare_stream or self.app.stream_of(self)
        if isinstance(stream, SourceStream):
            await stream.seek(offset, timeout)
        else:
            self.offset = offset

    async def _opened(self) -> ISink:
        running = self.app.opened(self)
        if running is not None:
            return running
        loop = asyncio.get_running_loop()
        if self._bare is None or self._bare[0] is not loop:
            opened = self.make()
            self._bare = (loop, opened, holding := _held(opened))  # who sends meanwhile shares it
            await anext(holding)
        opened = self._bare[1]
        try:
            await opened.open()
        except BaseException:
            await self.aclose()
            raise
        return opened

    async def aclose(self) -> None:
        """Let go of what a bare use outside of a run has opened; else the end of the loop does."""
        bare, self._bare = self._bare, None
        if bare is not None:
            await bare[2].aclose()


async def _held(opened: OpenTopic) -> AsyncGenerator[None, None]:
    """Holds a topic until it is closed: by `asyncio.run`, as it does with generators, at last."""
    try:
        yield
    finally:
        await opened.close()


class _Registered:
    """A resource that is no topic, by name.

    Args:
        name: its name in the configuration.
        conf: settings, over those of the configuration.
        backend: the backend's name, over all configuration.
        app: the App it belongs to; default the current one.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        name: str,
        conf: Mapping[str, Any] | None = None,
        *,
        backend: str | None = None,
        app: App | None = None,
    ) -> None:
        from slipcore.current import current_app

        self.app = app if app is not None else current_app()
        self.name = name
        self.conf = dict(conf or {})
        self._backend = backend

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def choice(self) -> Choice:
        """Which backend it has, and why."""
        return choose(
            self.kind,
            self.name,
            plugins=self.app.plugins,
            config=self.app.config,
            backend=self._backend,
            conf=self.conf,
        )

    def _make(self, contract: type[T]) -> T:
        choice = self.choice()
        made = choice.backend.load()(self.name, choice.options(), self.app.scope)
        if not isinstance(made, contract):
            raise ConfigError(
                f"{choice.resource}: '{choice.backend.name}' of {choice.backend.owner} is no "
                f"{contract.__name__}."
            )
        return made


class Source(_Registered):
    """A registered source that is no topic; its records are handed over as they come."""

    kind = "source"

    def stream(self) -> SourceStream:
        """The source as something to read."""
        return SourceStream(
            self,
            f"{self.choice().backend.name}:{self.name}",
            self._make(ISource),  # type: ignore[type-abstract]  # the contract is to be checked
            store=self.app.checkpoint_store,
            assignment_timeout=self.app.limits.start,
        )


class Sink(_Registered):
    """A registered sink that is no topic; it takes what a handler returns as an `Out`."""

    kind = "sink"

    def make(self) -> ISink:
        """A new backend instance, not opened yet."""
        return self._make(ISink)  # type: ignore[type-abstract]  # the contract is to be checked
