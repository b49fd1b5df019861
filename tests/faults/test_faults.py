"""One run of each fault that takes a few seconds; `make faults` makes them all, often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.fault import MISSING, try_fault
from tests.faults.lane import Lane

SEED = 1
QUICK = [fault.name for fault in FAULTS.values() if fault.quick]


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    """Servers that these runs may hurt."""
    with Lane() as made:
        yield made


@pytest.mark.servers("kafka", "redis")
@pytest.mark.parametrize("name", [*QUICK, *MISSING])
def test_fault(name: str, lane: Lane, tmp_path: Path) -> None:
    """Nothing is lost, nothing is counted twice, and repeats stay within their bound."""
    if name in MISSING:
        pytest.skip(MISSING[name])
    fault = FAULTS[name]
    run = try_fault(fault, SEED, lane, tmp_path)
    assert run.complaint is None
