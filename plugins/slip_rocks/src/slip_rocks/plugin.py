"""What this distribution registers with slipcore. It imports no client library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipcore import hookimpl

if TYPE_CHECKING:
    from slipcore.hookspecs import Register


@hookimpl
def register_caches(register: Register) -> None:
    register(
        "rocks",
        "slip_rocks.state:open_state_store",
        options="slip_rocks.options:RocksStateOptions",
        summary="state in a RocksDB directory",
    )


@hookimpl
def register_checkpoint_stores(register: Register) -> None:
    register(
        "rocks",
        "slip_rocks.checkpoints:open_checkpoint_store",
        options="slip_rocks.options:RocksCheckpointOptions",
        summary="checkpoints in a RocksDB directory",
    )
