"""acme for slipcore: topics and caches."""
