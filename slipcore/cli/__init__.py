"""The command line: `slip run`, `slip plan`, `slip config`, `slip doctor`, `slip backends`, ..."""

from __future__ import annotations

import sys

NEEDS_EXTRA = (
    "The command line needs click and rich: install the extra slipcore[cli], "
    "from a checkout with pip install -e '.[cli]'."
)


def main() -> None:
    """Run `slip`; without click and rich say in one sentence where to get them."""
    try:
        import click  # noqa: F401  # an extra: its absence is told apart from a broken module
        import rich  # noqa: F401  # whether it is there
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        print(NEEDS_EXTRA, file=sys.stderr)
        raise SystemExit(2) from None

    from slipcore.cli.commands import slip

    slip(prog_name="slip")
