"""All faults: imported, they are known."""

from __future__ import annotations

from tests.faults import kafka_deaths, redis_servers
from tests.faults.fault import FAULTS

__all__ = ["FAULTS", "kafka_deaths", "redis_servers"]
