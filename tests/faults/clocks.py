"""A wall clock that is wrong."""

from __future__ import annotations

import time

from tests.faults.disks import shimmed
from tests.faults.fault import fault
from tests.faults.shim import MISSING
from tests.faults.state_deaths import away_from_kafka
from tests.faults.yard import Yard

HOUR = 3500.0
"""Seconds; brokers refuse records that are more than an hour ahead of them."""


@fault(
    "the wall clock goes forward or back by an hour, or stands",
    protects="What has to wait, waits by a clock that only goes on.",
    target=5.0,
    without="monotonic clock",
    missing=MISSING,
)
def clock_steps(yard: Yard) -> None:
    shim = shimmed(yard)
    on_kafka = yard.chance.random() < 0.4
    yard.prepare(topics=None if on_kafka else away_from_kafka(yard), commit=0.2)
    yard.fill(500)
    yard.feed(200)
    yard.start()
    yard.until_handled(yard.chance.randrange(1, 400))
    for step in yard.chance.sample(("forward", "back", "stands"), 2):
        if step == "stands":
            shim.stop_clock()
        else:
            shim.step_clock(HOUR if step == "forward" else -HOUR)
        yard.recover_everywhere(time.monotonic(), 30.0)
        yard.until_handled(100)
    yard.finish()
