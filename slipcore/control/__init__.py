"""What a running app says of itself, and takes from outside: status, health, pause, stop."""
