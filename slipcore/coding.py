"""The contracts of codecs: what a value and its bytes need to become each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from slipcore.records import Headers, Record

Part: TypeAlias = Literal["key", "value"]
"""What of a record a codec is for."""


class ICodec(ABC):
    """Values to bytes and back.

    A null value (tombstone) never reaches a codec. [codec.null-never-arrives] Where it says
    `passes_bytes`, what is decoded are the bytes themselves. [codec.passes-bytes] Both methods
    may be called by several threads at once. [codec.threads]
    """

    passes_bytes: bool = False
    """Whether `decode` gives back the bytes themselves, so that it need not be called."""

    @abstractmethod
    def encode(self, obj: Any) -> bytes:
        """The bytes of a value, and bytes they are. [codec.encodes-to-bytes]

        The value stays as it is. [codec.leaves-the-value] What could not be read again is refused;
        [codec.refuses-what-it-can-not-write] whatever is raised is reported as an EncodeError.
        """

    @abstractmethod
    def decode(self, s: bytes) -> object:
        """The value of the bytes, equal to what was encoded. [codec.round-trip]

        No two calls share a value that can be changed. [codec.results-are-apart] Bytes that it
        has not written are refused, [codec.refuses-foreign-bytes] and those with an end too few or
        too many; [codec.reads-to-the-end] whatever is raised is reported as a DecodeError.
        """

    def decoder(self) -> Callable[[bytes], object]:
        """What decodes as `decode` does, perhaps by a shorter way; asked for once.

        It gives what `decode` gives. [codec.decoder] What it raises need say nothing: `decode` is
        then asked for the same bytes.
        """
        return self.decode


class ITopicCodec(ICodec):
    """A codec that needs more than the bytes: a topic's name, headers, or schemas kept elsewhere.

    A topic asks `bind` for a codec of its own and uses that one. Nothing is awaited per record:
    `open` once before the first value is encoded, `prepare` only for a batch that `decode_record`
    could not read yet. Where there is no topic, as in a cache, only `encode` and `decode` are
    called.
    """

    @abstractmethod
    def bind(self, topic: str, part: Part) -> ITopicCodec:
        """The codec of the keys or values of one topic."""

    async def open(self) -> None:
        """Get ready to encode; never called by who only reads.

        Raises:
            ConfigError: something that was asked for can't be had.
            ConnectError: what is needed can't be reached.
        """

    def headers(self, given: Headers) -> Headers:
        """The headers to write with a value that was given these."""
        return given

    @abstractmethod
    def decode_record(self, record: Record) -> object:
        """The value of the bytes that are the key or the value of a record.

        Raises:
            UnpreparedError: `prepare` is to be awaited first.
        """

    async def prepare(self, records: Sequence[Record]) -> None:
        """Fetch what these records need, once for all of them.

        What turns out not to exist is a DecodeError of `decode_record` afterwards.

        Raises:
            ConnectError: it can't be reached; no fault of the records, which come again.
        """
