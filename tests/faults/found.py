"""Seeds that have failed, kept so that they are tried first from then on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.faults.fault import Run

FILE: Final = Path(__file__).with_name("found.json")


class Found:
    """Name of a fault -> seeds that have failed."""

    def __init__(self, seeds: dict[str, list[int]]) -> None:
        self.seeds = seeds

    @classmethod
    def read(cls) -> Found:
        """What was kept before."""
        return cls(json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {})

    def first(self, name: str, seeds: Sequence[int]) -> Sequence[int]:
        """The seeds of a fault to try: those that have failed, then these."""
        return list(dict.fromkeys((*self.seeds.get(name, ()), *seeds)))

    def keep(self, runs: Iterable[Run]) -> None:
        """Add the seeds that have failed."""
        failed = [run for run in runs if run.complaint is not None]
        for run in failed:
            kept = self.seeds.setdefault(run.fault, [])
            if run.seed not in kept:
                kept.append(run.seed)
        if failed:
            text = json.dumps(self.seeds, indent=2, sort_keys=True)
            FILE.write_text(f"{text}\n", encoding="utf-8")
