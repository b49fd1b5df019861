"""The bytes of a topic's records become keys and values, by the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from slipcore.engine.policies import message, undecodable
from slipcore.interfaces import (
    DecodeError,
    ICodec,
    ITopicCodec,
    Part,
    Record,
    SlipError,
    UnpreparedError,
)

Take = Callable[[Any], Any]


class BatchDecoder:
    """Decodes batches with the codecs of values and keys."""

    def __init__(self, codec: ICodec, key_codec: ICodec) -> None:
        self._asked = [c for c in (codec, key_codec) if isinstance(c, ITopicCodec)]
        self._is_needless = codec.passes_bytes and key_codec.passes_bytes
        if self._asked:
            self._decode = self._decode_all = _by_record(
                _taker(codec, "value"), _taker(key_codec, "key")
            )
        else:
            self._decode = _by_bytes(codec.decode, key_codec.decode)
            self._decode_all = (
                _by_value(codec.decoder())
                if key_codec.passes_bytes
                else _by_bytes(codec.decoder(), key_codec.decoder())
            )

    async def decoded(
        self, records: Sequence[Record]
    ) -> tuple[Sequence[Record], DecodeError | None]:
        """The records up to the first that can't be decoded, and its error.

        Raises:
            ConnectError: what the records need can't be fetched; they come again.
        """
        if self._is_needless:
            return records, None
        try:
            return self._decode_all(records), None
        except UnpreparedError:
            for codec in self._asked:
                await codec.prepare(records)
        except Exception:  # it is found below, one by one
            pass
        good: list[Record] = []
        for record in records:
            try:
                good.extend(self._decode((record,)))
            except SlipError as error:
                return good, _raised_from(error, str(error), record)
            except Exception as error:
                return good, _raised_from(
                    error, f"{type(error).__name__}: {message(error)}", record
                )
        return good, None


def _raised_from(cause: Exception, reason: str, record: Record) -> DecodeError:
    error = undecodable(DecodeError(reason), record)
    error.__cause__ = cause
    return error


def _taker(codec: ICodec, part: Part) -> Take:
    """What decodes the key or the value of a record."""
    if isinstance(codec, ITopicCodec):
        return codec.decode_record
    if codec.passes_bytes:
        return attrgetter(part)
    decode = codec.decode
    return (lambda r: decode(r.value)) if part == "value" else (lambda r: decode(r.key))


# What is alike in the three is written out: to share it would take a call more for each record.


def _by_bytes(decode: Take, decode_key: Take) -> Callable[[Sequence[Record]], list[Record]]:
    """For codecs that need nothing but the bytes."""
    return lambda records: [
        Record(
            None if (value := r.value) is None else decode(value),
            None if (key := r.key) is None else decode_key(key),
            r.topic,
            r.partition,
            r.offset,
            r.timestamp,
            r.headers,
        )
        for r in records
    ]


def _by_value(decode: Take) -> Callable[[Sequence[Record]], list[Record]]:
    """The same where keys stay the bytes that they are."""
    return lambda records: [
        Record(
            None if (value := r.value) is None else decode(value),
            r.key,
            r.topic,
            r.partition,
            r.offset,
            r.timestamp,
            r.headers,
        )
        for r in records
    ]


def _by_record(decode: Take, decode_key: Take) -> Callable[[Sequence[Record]], list[Record]]:
    """For codecs that need the whole record."""
    return lambda records: [
        Record(
            None if r.value is None else decode(r),
            None if r.key is None else decode_key(r),
            r.topic,
            r.partition,
            r.offset,
            r.timestamp,
            r.headers,
        )
        for r in records
    ]
