"""What `make audit` says of what pip-audit has found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
OWN = {"name": "slipcore", "skip_reason": "distribution marked as editable"}
UNKNOWN = {"name": "new", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("said", "code", "last"),
    [
        ([GOOD, OWN], 0, "1 packages, 0 with known vulnerabilities."),
        ([GOOD, BAD, OWN], 1, "2 packages, 1 with known vulnerabilities."),
        ([GOOD, UNKNOWN], 2, "1 packages, 0 with known vulnerabilities."),
        ([OWN], 2, "0 packages, 0 with known vulnerabilities."),
        (None, 2, None),
    ],
    ids=["none", "some", "unknown", "nothing", "offline"],
)
def test_the_exit_code_says_what_was_found(
    tmp_path: Path, said: list[dict[str, Any]] | None, code: int, last: str | None
) -> None:
    """0: none is known; 1: some are; 2: it could not be asked about all, which is no good news."""
    text = "" if said is None else json.dumps({"dependencies": said})
    (tmp_path / "pip_audit.py").write_text(f"print({text!r})")
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.audit"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert (done.stdout.splitlines()[-1] if done.stdout else None) == last
    assert ("bad 2: CVE-1, mended in 3" in done.stdout) is (code == 1)
