"""Where log messages of a `slip run` go: to stderr, for people or for machines."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any

OUTPUT = "slipcore.cli"
"""The logger that speaks for the command line itself under `--log-json`."""


class _Stderr(logging.Handler):
    """Writes to whatever stderr is at the time: a progress line stands in for it meanwhile."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what `extra={"data": ...}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "data", {}),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return json.dumps(line, ensure_ascii=False, default=str)


def log_as_text() -> None:
    """Show warnings, unless the app file has arranged its own logging."""
    if logging.root.handlers:
        return
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.root.addHandler(handler)


def log_as_json() -> None:
    """Make every line of the log, Python's own warnings too, one JSON object."""
    handler = _Stderr()
    handler.setFormatter(JsonFormatter())
    logging.root.handlers[:] = [handler]
    logging.captureWarnings(True)
    logging.getLogger(OUTPUT).setLevel(logging.INFO)
