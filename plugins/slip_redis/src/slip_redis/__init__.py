"""Redis for slipcore: topics on streams, caches and checkpoints on a Redis server."""
