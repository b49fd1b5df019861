"""Directories of Parquet files for slipcore: a source, a sink, and where a row comes from."""

from slip_example.origin import origin

__all__ = ["origin"]
