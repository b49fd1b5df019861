"""What is read: streams that can be paused and shared by bindings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from slipcore.engine.delivery import Lane
from slipcore.utils import Signal


class PausableStream:
    """A source being read, for all bindings that share it.

    Attributes:
        iterable: what `handle` was given.
        name: what to call it in messages.
        lanes: the bindings that read it.
        positioned: set when it stands where its bindings do.
    """

    def __init__(self, iterable: Any, name: str | None = None) -> None:
        self.iterable = iterable
        self.name = name if name is not None else type(iterable).__name__
        self.lanes: list[Lane] = []
        self.positioned = asyncio.Event()
        self.stopping = False
        self.signal = Signal.RESUME
        self._closed_for: set[str] = set()

    def __repr__(self) -> str:
        return f"<stream {self.name}>"

    @property
    def paused(self) -> bool:
        return "pause" in self._closed_for

    @property
    def held_for(self) -> frozenset[str]:
        """Why nothing is handed over, but for a pause."""
        return frozenset(self._closed_for - {"pause"})

    def pause(self) -> None:
        """Close the gate at once: the record in hand is the last, for every binding."""
        self.close_gate("pause")

    def resume(self) -> None:
        """Open the gate again."""
        self.open_gate("pause")

    def send_signal(self, signal: Signal | Any) -> None:
        """Pause on `Signal.PAUSE`; any other signal resumes. `signal` is the last one."""
        self.signal = signal
        if signal is Signal.PAUSE:
            self.pause()
        else:
            self.resume()

    def close_gate(self, reason: str) -> None:
        self._closed_for.add(reason)
        for lane in self.lanes:
            lane.close_gate()

    def open_gate(self, reason: str) -> None:
        self._closed_for.discard(reason)
        if not self._closed_for:
            for lane in self.lanes:
                lane.open_gate()

    async def open(self) -> None:
        """Connect to what is read."""

    async def close(self) -> None:
        """Let go of what is read."""

    async def position(self) -> None:
        """Place the stream where its bindings stand, and keep it placed; until cancelled."""
        self.positioned.set()

    async def run(self) -> None:
        """Read and handle until the source ends or the stream is stopped."""
        raise NotImplementedError

    def stop(self) -> None:
        """Take nothing new in; the record in hand completes."""
        self.stopping = True
        for lane in self.lanes:
            lane.stop()

    @property
    def busy(self) -> bool:
        """Whether a handler has a record in hand."""
        return any(lane.busy for lane in self.lanes)

    @property
    def idle(self) -> bool:
        """Whether all that was handled is finished, and every seek has taken effect."""
        return all(lane.idle for lane in self.lanes)

    async def quiet(self) -> None:
        """Wait until all that was handled is finished, and every seek has taken effect."""
        for lane in self.lanes:
            await lane.quiet()

    async def commit(self) -> None:
        """Commit what is finished, where positions are kept."""

    async def commit_if_reachable(self) -> None:
        """Commit, or leave it to the next time where what keeps positions does not answer."""
        await self.commit()

    async def lag(self) -> Mapping[int, int]:
        """Partition -> records still to be read; {} where nobody knows."""
        return {}
