"""Avro for slipcore: a codec with schemas."""
