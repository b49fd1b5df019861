"""The backends that are wrong nowhere: what the wrong ones are made from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from slipcore.backends.memory import MemoryTopic
from slipcore.backends.memory.broker import Group
from slipcore.interfaces import Out, SinkError


class RightTopic(MemoryTopic):
    """A topic in memory whose flushes can be made to fail.

    Attributes:
        silence: seconds after which what did not happen is taken not to happen.
        groups: what its consumer groups are.
        fails: whether a flush fails.
    """

    silence: ClassVar[float] = 0.02
    groups: ClassVar[type[Group]] = Group
    fails = False

    async def open(self) -> None:
        await super().open()
        log = self._opened()
        made = self.groups(self._group_id, len(log.partitions))
        self._broker._groups.setdefault((self._group_id, log.name), made)

    async def flush(self) -> None:
        if self.fails and self._pending:
            outputs, self._pending = tuple(self._pending), []
            raise SinkError("the flush was made to fail", outputs)
        self._pending = [self.written(output) for output in self._pending]
        await super().flush()

    def written(self, output: Out) -> Out:
        """What is stored of an output."""
        return output

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Let flushes fail while the block lasts."""
        self.fails = True
        try:
            yield
        finally:
            self.fails = False
