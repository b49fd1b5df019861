"""One record's way from source to commit. Nothing here knows a backend by name."""
