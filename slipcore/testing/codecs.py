"""What every codec must do: give back what went in, and refuse the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pytest

from slipcore import App
from slipcore.config import Config
from slipcore.interfaces import ICodec
from slipcore.plugins import Plugins
from slipcore.testing.contract import Contract, needs
from slipcore.testing.promises import promise

MakeCodec: TypeAlias = Callable[[], ICodec]
"""`make_codec()`: a codec, as a topic or cache would get it."""


class CodecContract(Contract):
    """The contract of `ICodec`. A subclass gives the fixture `make_codec`, and `examples`.

    It may offer: "refuses values" (give `unfit`), "refuses bytes" (give `foreign`), and "ends":
    each value's bytes say where they end, so that fewer or more of them are refused.

    Attributes:
        examples: values that it writes; None is none.
        unfit: values that it must refuse to write.
        foreign: bytes that it must refuse to read.
    """

    examples: ClassVar[Sequence[Any]] = ()
    unfit: ClassVar[Sequence[Any]] = ()
    foreign: ClassVar[Sequence[bytes]] = ()

    @pytest.fixture
    def make_codec(self) -> MakeCodec:
        """To be given by the subclass."""
        raise NotImplementedError("a suite of codecs needs the fixture make_codec")

    @pytest.fixture
    def codec(self, make_codec: MakeCodec) -> ICodec:
        """The codec under test, once it is known that there is something to test it with."""
        assert self.examples, "a suite of codecs needs `examples`"
        return make_codec()

    @promise("codec.round-trip")
    def test_what_comes_out_equals_what_went_in(self, codec: ICodec, make_codec: MakeCodec) -> None:
        """Type included, and for another codec object too."""
        for value in self.examples:
            for reader in (codec, make_codec()):
                found = reader.decode(codec.encode(value))
                assert (found, type(found)) == (value, type(value))

    @promise("codec.encodes-to-bytes")
    def test_what_is_written_is_bytes(self, codec: ICodec) -> None:
        """Nothing that could be changed on its way."""
        assert {type(codec.encode(value)) for value in self.examples} == {bytes}

    @promise("codec.leaves-the-value")
    def test_a_value_that_is_written_stays_as_it_is(self, codec: ICodec) -> None:
        """However often it is written."""
        for value in deepcopy(self.examples):
            before = deepcopy(value)
            codec.encode(value)
            codec.encode(value)
            assert value == before

    @promise("codec.results-are-apart")
    def test_results_share_nothing_that_can_be_changed(self, codec: ICodec) -> None:
        """Two values from the same bytes are two values, to their last part."""
        for value in self.examples:
            data = codec.encode(value)
            one, other = codec.decode(data), codec.decode(data)
            shared = {id(part) for part in _changing(one)} & {id(part) for part in _changing(other)}
            assert not shared, f"two values that were read from {data!r} share a part"

    @promise("codec.passes-bytes")
    def test_bytes_pass_where_it_says_so(self, codec: ICodec) -> None:
        """Where `passes_bytes` is true, `decode` changes nothing."""
        for value in self.examples:
            data = codec.encode(value)
            assert not codec.passes_bytes or codec.decode(data) == data

    @promise("codec.decoder")
    def test_the_shorter_way_to_decode_leads_to_the_same(self, codec: ICodec) -> None:
        """What `decoder` gives reads as `decode` does, and refuses what that refuses."""
        decode = codec.decoder()
        for data in (*map(codec.encode, self.examples), *self.foreign):
            assert _read(decode, data) == _read(codec.decode, data)

    @needs("refuses values")
    @promise("codec.refuses-what-it-can-not-write")
    def test_a_value_that_could_not_be_read_again_is_refused(self, codec: ICodec) -> None:
        """When it is written, and the next one is written as ever."""
        assert self.unfit, 'a suite that offers "refuses values" needs `unfit`'
        for value in self.unfit:
            with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it raises is reported
                codec.encode(value)
            assert codec.decode(codec.encode(self.examples[0])) == self.examples[0]

    @needs("refuses bytes")
    @promise("codec.refuses-foreign-bytes")
    def test_bytes_of_somebody_else_are_refused(self, codec: ICodec) -> None:
        """When they are read, and the next ones are read as ever."""
        assert self.foreign, 'a suite that offers "refuses bytes" needs `foreign`'
        for data in self.foreign:
            with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it raises is reported
                codec.decode(data)
            assert codec.decode(codec.encode(self.examples[0])) == self.examples[0]

    @needs("ends")
    @promise("codec.reads-to-the-end")
    def test_bytes_too_few_or_too_many_are_refused(self, codec: ICodec) -> None:
        """A value cut off anywhere, or followed by something."""
        for value in self.examples:
            data = codec.encode(value)
            for wrong in (*(data[:end] for end in range(len(data))), data + b"\0"):
                with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it raises is reported
                    codec.decode(wrong)

    @promise("codec.threads")
    def test_threads_do_not_disturb_each_other(self, codec: ICodec) -> None:
        """Several of them write and read different values with one codec."""

        def work(n: int) -> bool:
            values = [self.examples[(n + i) % len(self.examples)] for i in range(200)]
            return all(codec.decode(codec.encode(value)) == value for value in values)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(4)))

    @promise("codec.null-never-arrives")
    def test_a_tombstone_reaches_no_codec(self, make_codec: MakeCodec, tmp_path: Path) -> None:
        """Null keys and values pass through a topic, and values beside them as ever."""
        config = Config.load(cwd=tmp_path, environ={})
        app = App("contract", config=config, plugins=Plugins(entry_points=[]))
        watched = _Watched(make_codec())
        topic = app.topic("values", backend="memory", codec=watched, key_codec=watched)
        sent = [(None, self.examples[0]), (self.examples[0], None), (None, None)]

        async def work() -> list[tuple[Any, Any]]:
            for key, value in sent:
                await topic(key, value)
            found: list[tuple[Any, Any]] = []
            async with asyncio.timeout(self.patience):
                async for record in topic:
                    found.append((record.key, record.value))
                    if len(found) == len(sent):
                        break
            await topic.aclose()
            return found

        try:
            assert asyncio.run(work()) == sent
            assert None not in watched.seen
        finally:
            app.close()


class _Watched(ICodec):
    """A codec that tells what it was given."""

    def __init__(self, codec: ICodec) -> None:
        self.seen: list[object] = []
        self._codec = codec

    def encode(self, obj: Any) -> bytes:
        self.seen.append(obj)
        return self._codec.encode(obj)

    def decode(self, s: bytes) -> object:
        self.seen.append(s)
        return self._codec.decode(s)


def _changing(value: object) -> Iterator[object]:
    """The parts of a value that can be changed, itself included."""
    own = getattr(value, "__dict__", None)
    if isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    else:
        parts = list((own or {}).values())
    if isinstance(value, list | dict | set | bytearray) or own is not None:
        yield value
    for part in parts:
        yield from _changing(part)


def _read(decode: Callable[[bytes], object], data: bytes) -> tuple[object] | None:
    """What bytes are read as; None: they are refused."""
    try:
        return (decode(data),)
    except Exception:
        return None
