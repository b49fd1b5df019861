"""How records and their keys lie in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from slip_redis.ids import offset_of
from slipcore.interfaces import Headers, Out, Record, SourceError

_encode_headers: Final = msgspec.msgpack.Encoder().encode
_decode_headers: Final = msgspec.msgpack.Decoder(Headers).decode


class Keys:
    """The keys of a topic. They share a hash tag: on a cluster, one node has them all.

    Args:
        name: the topic's name.
    """

    def __init__(self, name: str) -> None:
        self._prefix = f"{{slip:{name}}}:"
        self.topic = f"{self._prefix}topic"
        self.poison = f"{self._prefix}poison"

    def stream(self, partition: int) -> str:
        return f"{self._prefix}{partition}"

    def group(self, name: str) -> str:
        return f"{self._prefix}group:{name}"

    def producer(self, token: str) -> str:
        return f"{self._prefix}producer:{token}"


def is_writable(output: Out) -> bool:
    """Whether timestamp and headers are of the types that an entry can hold."""
    if not isinstance(output.timestamp, (int, type(None))):
        return False
    if not output.headers:
        return True
    try:
        return all(isinstance(k, str) and isinstance(v, bytes) for k, v in output.headers)
    except (TypeError, ValueError):
        return False


def fields_of(output: Out, now: int) -> list[bytes]:
    """The fields and values of an entry; what is None has no field."""
    timestamp = now if output.timestamp is None else output.timestamp
    fields = [b"timestamp", b"%d" % timestamp]
    if output.key is not None:
        fields += (b"key", output.key)
    if output.value is not None:
        fields += (b"value", output.value)
    if output.headers:
        fields += (b"headers", _encode_headers(output.headers))
    return fields


def record_of(
    entry: bytes, fields: Sequence[bytes], topic: str, partition: int, stream: str
) -> Record:
    """The record of an entry.

    Raises:
        SourceError: another program has written it.
    """
    offset = offset_of(entry, stream)
    count = len(fields)
    if fields[0] != b"timestamp":
        raise _foreign(entry, stream)
    try:
        if count == 4 and fields[2] == b"value":
            return Record(fields[3], None, topic, partition, offset, int(fields[1]))
        if count == 6 and fields[2] == b"key" and fields[4] == b"value":
            return Record(fields[5], fields[3], topic, partition, offset, int(fields[1]))
        named = dict(zip(fields[2::2], fields[3::2], strict=True))
        headers = named.pop(b"headers", None)
        record = Record(
            named.pop(b"value", None),
            named.pop(b"key", None),
            topic,
            partition,
            offset,
            int(fields[1]),
            () if headers is None else _decode_headers(headers),
        )
    except (ValueError, msgspec.MsgspecError) as error:
        raise _foreign(entry, stream) from error
    if named:
        raise _foreign(entry, stream)
    return record


def _foreign(entry: bytes, stream: str) -> SourceError:
    return SourceError(
        f"the stream {stream} has an entry {entry.decode()} that is no record of slipcore: it is "
        f"to have the fields timestamp, key, value and headers and no other; remove it, or seek "
        f"to an offset behind it"
    )


class StateKeys:
    """The keys of an app's state. They share a hash tag: one script writes several spaces.

    Args:
        app: the app's name.
    """

    def __init__(self, app: str) -> None:
        self._prefix = f"{{slip:state:{app}}}:"
        self.format = f"{self._prefix}format"
        self.owners = f"{self._prefix}owners"
        self.leases = f"{self._prefix}leases"

    def space(self, name: str) -> tuple[str, str]:
        """The sorted set of a space's keys, and the hash of its values."""
        return f"{self._prefix}keys:{name}", f"{self._prefix}values:{name}"

    def positions(self, reader: str) -> str:
        return f"{self._prefix}positions:{reader}"

    def written(self, token: str) -> str:
        return f"{self._prefix}written:{token}"
