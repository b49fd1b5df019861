"""Asking whether a schema registry answers, without registering anything."""

from __future__ import annotations

from slip_avro.codec import make_registry
from slip_avro.options import AvroOptions
from slipcore.interfaces import Probed


async def probe(options: AvroOptions, timeout: float) -> Probed:
    """Sign on and ask for a schema that is not there.

    Raises:
        ConnectError: the registry can't be used.
    """
    registry = make_registry(options, timeout)
    if registry is None:
        return Probed("no registry is set, schemas are given")
    await registry.check()
    return Probed(f"the schema registry {registry.url}")
