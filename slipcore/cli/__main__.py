"""`python -m slipcore.cli`, for where the script `slip` is not on the path."""

from slipcore.cli import main

main()
