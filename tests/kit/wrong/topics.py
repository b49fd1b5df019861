"""Topics that are wrong in one thing each that topics alone promise."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any
from zlib import crc32

import msgspec

from slipcore.backends.memory import MemoryTopicOptions
from slipcore.interfaces import Assignment, Headers, Out, Positions, Scope
from tests.kit.wrong.marks import breaks
from tests.kit.wrong.right import RightTopic


@breaks("topic.empty-is-not-none")
class TakesEmptyForNone(RightTopic):
    """An empty value becomes a tombstone."""

    def written(self, output: Out) -> Out:
        return msgspec.structs.replace(output, value=output.value or None)


@breaks("topic.empty-is-not-none")
class TakesTombstonesForEmpty(RightTopic):
    """A tombstone becomes an empty value."""

    def written(self, output: Out) -> Out:
        value = b"" if output.value is None else output.value
        return msgspec.structs.replace(output, value=value)


@breaks("topic.headers")
class KeepsHeadersByName(RightTopic):
    """Of headers with one name the last is kept."""

    def written(self, output: Out) -> Out:
        headers = tuple(dict(output.headers).items())
        return msgspec.structs.replace(output, headers=headers)


@breaks("topic.headers")
class DropsHeaders(RightTopic):
    """Headers do not arrive."""

    def written(self, output: Out) -> Out:
        return msgspec.structs.replace(output, headers=())


@breaks("topic.timestamp")
class StampsItself(RightTopic):
    """A timestamp that was given is replaced by that of the writing."""

    def written(self, output: Out) -> Out:
        return msgspec.structs.replace(output, timestamp=None)


@breaks("topic.timestamp")
class StampsNothing(RightTopic):
    """Without a timestamp the record is of the year 1970."""

    def written(self, output: Out) -> Out:
        return msgspec.structs.replace(output, timestamp=output.timestamp or 0)


@breaks("topic.partition")
class HashesDifferently(RightTopic):
    """A key's partition is one of its own choice."""

    def written(self, output: Out) -> Out:
        if output.partition is None and output.key is not None:
            place = crc32(output.key) % len(self._opened().partitions)
            output = msgspec.structs.replace(output, partition=place)
        return output


@breaks("topic.parts")
class DropsParts(RightTopic):
    """What is sent in parts has no headers."""

    def send_parts(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp: int | None = None,
        partition: int | None = None,
    ) -> Awaitable[None] | None:
        return self.send(Out(value, key, (), timestamp, partition))


@breaks("topic.topics-are-apart")
class CutsNames(RightTopic):
    """Names are cut, and those that begin alike are one topic."""

    async def open(self) -> None:
        own, self.name = self.name, self.name.removesuffix("-other")
        await super().open()
        self.name = self._opened().name = own


@breaks("topic.reset")
class StartsAtTheStart(RightTopic):
    """`auto_offset_reset` is not looked at."""

    def __init__(self, name: str, options: MemoryTopicOptions, scope: Scope) -> None:
        settings: dict[str, Any] = {**msgspec.structs.asdict(options)}
        settings["auto_offset_reset"] = "earliest"
        super().__init__(name, MemoryTopicOptions(**settings), scope)


@breaks("topic.latest-is-kept")
class ForgetsTheEnd(RightTopic):
    """The end where a group begins is no position of the group."""

    async def accept(self, assignment: Assignment, positions: Positions) -> None:
        if self._options.auto_offset_reset == "latest":
            ends = [len(records) for records in self._opened().partitions]
            new = [p for p, committed in assignment.added.items() if committed is None]
            positions = {**{p: ends[p] - 1 for p in new}, **positions}
        await super().accept(assignment, positions)
