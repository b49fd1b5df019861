"""Avro for slipcore: a codec with schemas, and a client of schema registries."""

from slip_avro.codec import AvroCodec
from slip_avro.registry import Registry

__all__ = ["AvroCodec", "Registry"]
