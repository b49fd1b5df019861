"""Wakes coroutines of any loop of this process when something was written."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Lock


class Bells:
    """Events by subject; may be rung from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: dict[object, dict[asyncio.Event, asyncio.AbstractEventLoop]] = {}

    def listen(self, subject: object, event: asyncio.Event) -> None:
        """Set an event of the running loop each time that the subject's bell rings."""
        with self._lock:
            self._listeners.setdefault(subject, {})[event] = asyncio.get_running_loop()

    def forget(self, subject: object, event: asyncio.Event) -> None:
        """Undo `listen`; an event that does not listen is ignored."""
        with self._lock:
            listeners = self._listeners.get(subject, {})
            listeners.pop(event, None)
            if not listeners:
                self._listeners.pop(subject, None)

    def ring(self, subject: object) -> None:
        """Set the events of all who listen to the subject."""
        with self._lock:
            listeners = list(self._listeners.get(subject, {}).items())
        for event, loop in listeners:
            with suppress(RuntimeError):  # its loop is closed: nobody waits there
                loop.call_soon_threadsafe(event.set)
