"""What `slip doctor` is told of a schema registry."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from slip_avro.options import AvroOptions

from slipcore.interfaces import ConnectError, Probed
from slipcore.testing import LocalScope
from tests.servers.registry import SchemaRegistry


def probe(options: AvroOptions, directory: Path) -> Probed:
    return asyncio.run(options.probe((), LocalScope("shop", directory), 0.5))


def test_a_registry_that_answers(registry: SchemaRegistry, tmp_path: Path) -> None:
    """Its address is told; nothing has to be in it."""
    found = probe(AvroOptions(registry=registry.url), tmp_path)
    assert found == Probed(f"the schema registry {registry.url}")


def test_without_a_registry_nobody_is_asked(tmp_path: Path) -> None:
    """That is said."""
    assert probe(AvroOptions(), tmp_path) == Probed("no registry is set, schemas are given")


def test_a_registry_that_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried for as long as there is time, not for as long as the codec would."""
    caplog.set_level(logging.CRITICAL)
    with pytest.raises(ConnectError, match="It was tried for 0.5 s; see that it runs"):
        probe(AvroOptions(registry="http://localhost:1"), tmp_path)
