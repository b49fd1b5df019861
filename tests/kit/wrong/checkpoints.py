"""Checkpoint stores that are wrong in one thing each."""

from __future__ import annotations

from slipcore.backends.memory.state import MemoryCheckpointStore
from tests.kit.wrong.marks import breaks


@breaks("checkpoint-store.last-state")
class TakesEmptyForNone(MemoryCheckpointStore):
    """An empty state is none."""

    def load(self, name: str) -> bytes | None:
        return super().load(name) or None


@breaks("checkpoint-store.saved-is-durable")
class ForgetsOnClose(MemoryCheckpointStore):
    """What was saved once only is gone with the object."""

    def __init__(self) -> None:
        super().__init__()
        self._saved_once: set[str] = set()

    def save(self, name: str, state: bytes) -> None:
        if name in self._states:
            self._saved_once.discard(name)
        else:
            self._saved_once.add(name)
        super().save(name, state)

    def close(self) -> None:
        while self._saved_once:
            self._states.pop(self._saved_once.pop())


@breaks("checkpoint-store.whole")
class LeavesTheRest(MemoryCheckpointStore):
    """A state of more than 64 bytes is written over by a shorter one, and its rest stays."""

    def save(self, name: str, state: bytes) -> None:
        former = self._states.get(name, b"")
        rest = former[len(state) :] if len(former) > 64 else b""
        super().save(name, state + rest)


@breaks("checkpoint-store.names")
class KnowsNoCase(MemoryCheckpointStore):
    """Names that differ in case are one, as on some file systems."""

    def load(self, name: str) -> bytes | None:
        return super().load(name.lower())

    def save(self, name: str, state: bytes) -> None:
        super().save(name.lower(), state)


@breaks("checkpoint-store.names")
class TakesNamesForPaths(MemoryCheckpointStore):
    """Of a name with slashes it keeps the last part."""

    def load(self, name: str) -> bytes | None:
        return super().load(name.rpartition("/")[2])

    def save(self, name: str, state: bytes) -> None:
        super().save(name.rpartition("/")[2], state)


@breaks("checkpoint-store.close-twice")
class ClosesOnce(MemoryCheckpointStore):
    """It can't be closed a second time."""

    def __init__(self) -> None:
        super().__init__()
        self._closed = False

    def close(self) -> None:
        if self._closed:
            raise RuntimeError("it is closed")
        self._closed = True
