"""RocksDB for slipcore: caches and checkpoints in an embedded database."""
