"""All faults: imported, they are known."""

from __future__ import annotations

from tests.faults import (
    cancelling,
    clocks,
    damage,
    disks,
    kafka_brokers,
    kafka_deaths,
    kafka_network,
    kafka_records,
    kafka_stops,
    redis_groups,
    redis_servers,
    state_deaths,
)
from tests.faults.fault import FAULTS

__all__ = [
    "FAULTS",
    "cancelling",
    "clocks",
    "damage",
    "disks",
    "kafka_brokers",
    "kafka_deaths",
    "kafka_network",
    "kafka_records",
    "kafka_stops",
    "redis_groups",
    "redis_servers",
    "state_deaths",
]
