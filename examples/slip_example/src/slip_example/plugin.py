"""What this distribution registers with slipcore. It does not import pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipcore import hookimpl

if TYPE_CHECKING:
    from slipcore.hookspecs import Register


@hookimpl
def register_sources(register: Register) -> None:
    register(
        "parquet",
        "slip_example.source:ParquetSource",
        options="slip_example.options:ParquetSourceOptions",
        summary="the rows of a directory of Parquet files",
    )


@hookimpl
def register_sinks(register: Register) -> None:
    register(
        "parquet",
        "slip_example.sink:ParquetSink",
        options="slip_example.options:ParquetSinkOptions",
        summary="rows into a directory of Parquet files",
    )
