"""The settings of state and of checkpoints in RocksDB."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from slipcore.interfaces import (
    ByteCount,
    Probed,
    Scope,
    StateOptions,
)

WRITE_BUFFER_SIZE: Final = 64 * 1024 * 1024
SMALLEST_WRITE_BUFFER: Final = 64 * 1024
"""RocksDB takes no smaller one as it is given."""


class RocksStateOptions(StateOptions, kw_only=True, forbid_unknown_fields=True):
    """The settings of state in RocksDB."""

    path: str | None = None
    """The database's directory, from the working directory; None: one for each cache, among the
    app's state. Caches of an app that name one directory are written together."""
    sync: bool = False
    """Whether each generation is on the disk when its write returns. Without, it is with the
    system: it survives any end of the process, but not a loss of power."""
    write_buffer_size: ByteCount = WRITE_BUFFER_SIZE
    """How much is held in memory, and in the log, before they are written to a table."""

    def __post_init__(self) -> None:
        check_path(self.path)
        if self.write_buffer_size < SMALLEST_WRITE_BUFFER:
            raise ValueError(
                f"write_buffer_size is in bytes, at least {SMALLEST_WRITE_BUFFER}, "
                f"not {self.write_buffer_size}"
            )

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slip_rocks.place import state_path
        from slip_rocks.probing import probe

        return probe("state", [state_path(name, self.path, scope) for name in names])


class RocksCheckpointOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings of checkpoints in RocksDB."""

    path: str | None = None
    """The database's directory, from the working directory; None: one among the app's state."""

    def __post_init__(self) -> None:
        check_path(self.path)

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        from slip_rocks.place import checkpoints_path
        from slip_rocks.probing import probe

        return probe("checkpoints", [checkpoints_path(self.path, scope)])


def check_path(path: str | None) -> None:
    """Refuse what names no directory.

    Raises:
        ValueError: it is empty.
    """
    if path == "":
        raise ValueError('path names a directory; it is "", leave it out for the default')
