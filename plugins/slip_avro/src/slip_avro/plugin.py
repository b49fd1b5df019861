"""What this distribution registers with slipcore: nothing yet. It imports no client library."""
