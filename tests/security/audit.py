"""Ask pip-audit, which asks PyPI, for known vulnerabilities of what is installed.

Ends with 0: none is known; 1: some are, and they are listed; 2: it could not be asked. What is
installed from this checkout is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

FOUND: Final = 1
NOT_ASKED: Final = 2
COMMAND: Final = (
    *(sys.executable, "-m", "pip_audit", "--local", "--skip-editable"),
    *("--format", "json", "--progress-spinner", "off"),
)


def main() -> int:
    """Print what is found, and return the exit code."""
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or ["it has said nothing"]
        print(f"pip-audit could not ask, it needs PyPI: {lines[-1]}", file=sys.stderr)
        return NOT_ASKED
    unknown = [p["name"] for p in packages if "not found" in p.get("skip_reason", "")]
    asked = [package for package in packages if "vulns" in package]
    vulnerable = [package for package in asked if package["vulns"]]
    for package in vulnerable:
        for found in package["vulns"]:
            mends = ", ".join(found["fix_versions"]) or "no version"
            print(f"{package['name']} {package['version']}: {found['id']}, mended in {mends}")
    print(f"{len(asked)} packages, {len(vulnerable)} with known vulnerabilities.")
    if vulnerable:
        return FOUND
    if unknown or not asked:  # pip-audit itself takes an index that knows nothing for good news
        print(f"PyPI could not be asked about {len(unknown)} packages.", file=sys.stderr)
        return NOT_ASKED
    return 0


if __name__ == "__main__":
    sys.exit(main())
