"""`Checkpoint`: notice that a stream has gone quiet, hold back the one that depends on it, recover.

A dependent stream pulses, its dependencies beat; each passes a marker, as a rule the event time.
The dependent that gets too far ahead of a dependency has found it down: it is paused until that
one has caught up.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from slipcore.codecs import ExactCodec
from slipcore.dependencies import Check, Dependency, later
from slipcore.interfaces import ConfigError, ICache, StateFormatError
from slipcore.utils import awaitable

if TYPE_CHECKING:
    from slipcore.app import App

__all__ = ["Checkpoint", "Dependency"]

logger = logging.getLogger(__name__)


class Checkpoint:
    """Pulse the heartbeat of dependency streams to handle downtimes.

    A checkpoint consists of a dependent stream and dependency streams.

    >>> async def emoji():
    ...     for emoji in '🏆📞🐟👌':
    ...         yield emoji
    >>> dependent, dependency = emoji(), emoji()

    The names should not change once it was used: it is stored under them.

    >>> c = Checkpoint(
    ...     'dependent',
    ...     dependent=dependent,
    ...     dependencies=[Dependency('dependency', dependency)],
    ... )

    The dependent is paused where it is bound to a handler, for all its handlers:

    >>> from slipcore import handle
    >>> @handle(dependent)
    ... async def dependent_handler(msg):
    ...     await c.check_pulse(marker=msg.value['event_timestamp'])
    ...     yield msg.key, msg.value
    >>> @handle(dependency)
    ... async def dependency_handler(msg):
    ...     await c.heartbeat(msg.value['event_timestamp'])
    ...     yield msg.key, msg.value

    Before the first heartbeat, the first pulse stands for one:

    >>> from asyncio import run
    >>> from datetime import datetime
    >>> run(c.check_pulse(marker=datetime(2025, 1, 1, 10), offset=8))
    >>> c['dependency'].checkpoint_marker
    datetime.datetime(2025, 1, 1, 10, 0)

    A heartbeat carries the event time of the dependency:

    >>> run(c.heartbeat(datetime(2025, 1, 1, 10, 30)))
    {'is_late': False, ...}

    A pulse that is too far ahead of it gives the downtime, and pauses the dependent:

    >>> run(c.check_pulse(marker=datetime(2025, 1, 1, 11), offset=9))
    datetime.timedelta(seconds=1800)

    It stays paused until the dependency has caught up:

    >>> run(c.heartbeat(datetime(2025, 1, 1, 10, 45)))
    {'is_late': True, ...}
    >>> run(c.heartbeat(datetime(2025, 1, 1, 11, 1)))
    {'is_late': False, ...}

    The whole state is saved as one value with each pulse and heartbeat, and found again after a
    restart: a dependent that was paused is paused again at the start.

    Args:
        name: its name; it is stored under `cache_key_prefix` and this.
        dependent: the stream that is paused, as it was given to `handle`.
        dependencies: the streams that it needs.
        downtime_callback: called once when a dependency is found down, after the pause.
        recovery_callback: called once for each dependency that has caught up, before the dependent
            goes on. If it raises, the dependency counts as down and the next heartbeat tries again.
        cache: where the state is saved, with the record in hand; default: the app's checkpoint
            store, at once.
        cache_key_prefix: goes before the name.
        pause_dependent: False leaves the dependent running during a downtime.
    """

    def __init__(
        self,
        name: str,
        dependent: AsyncIterable[Any],
        dependencies: Sequence[Dependency],
        downtime_callback: Check | None = None,
        recovery_callback: Check | None = None,
        cache: ICache | None = None,
        cache_key_prefix: str = "_",
        pause_dependent: bool = True,
    ) -> None:
        from slipcore.current import current_app

        self.app: App = current_app()
        self.name = name
        self.dependent = dependent
        self.dependencies = {d.name: d for d in dependencies}
        if len(self.dependencies) < len(dependencies):
            raise ConfigError(f"{self!r} has two dependencies of one name; it stores them by name.")
        self.pause_dependent = pause_dependent
        self._downtime_callback = downtime_callback
        self._recovery_callback = recovery_callback
        self._cache = cache
        self._key = f"{cache_key_prefix}{name}"
        self._state: dict[str, Any] = {}
        self._state_marker: Any = None
        self._recovering: set[str] = set()
        self._loaded = False
        self.app.on_start(self._start)

    def __repr__(self) -> str:
        return f"Checkpoint({self.name!r})"

    def __getitem__(self, key: str) -> Dependency:
        self._load()
        return self.dependencies[key]

    @property
    def state(self) -> dict[str, Any]:
        """A copy of what the pulses have passed, the latest of each name."""
        self._load()
        return deepcopy(self._state)

    @property
    def state_marker(self) -> Any:
        """The highest marker of a pulse; None before the first."""
        self._load()
        return self._state_marker

    async def check_pulse(self, marker: Any, **kwargs: Any) -> Any | None:
        """Take note of the dependent's progress, and look whether its dependencies keep up.

        Args:
            marker: as a rule the event time, compared to that of the dependencies.
            kwargs: what is needed to process again what was wrong because of a downtime, such as
                offsets; kept as the state.

        Returns:
            the largest downtime of the dependencies that are down, None while all are up.

        Raises:
            ConfigError: a dependency is down and no handler reads the dependent.
        """
        self._load()
        self._state.update(deepcopy(kwargs))
        self._state_marker = later(self._state_marker, marker)
        for dependency in self.dependencies.values():
            if dependency.checkpoint_marker is None:
                dependency.beat(self._state, self._state_marker)
            await self._look_at(dependency)
        self._save()
        return _largest([d.downtime for d in self.dependencies.values() if d.is_down])

    async def heartbeat(self, marker: Any, dependency_name: str | None = None) -> dict[str, Any]:
        """Take note of a dependency's progress; if it was down, look whether it has caught up.

        Args:
            marker: as a rule the event time, compared to that of the dependent.
            dependency_name: which one it is, where there are several.

        Returns:
            `is_late`: whether it is down still; `dependent_marker`, `dependency_marker`.

        Raises:
            ConfigError: no such dependency, or no name where there are several.
        """
        self._load()
        dependency = self._named(dependency_name)
        dependency.beat(self._state, marker)
        if dependency.is_down and dependency.name not in self._recovering:
            await self._try_to_recover(dependency)
        self._save()
        return {
            "is_late": dependency.is_down,
            "dependent_marker": self._state_marker,
            "dependency_marker": dependency.checkpoint_marker,
        }

    def _named(self, name: str | None) -> Dependency:
        if name is None and len(self.dependencies) == 1:
            return next(iter(self.dependencies.values()))
        known = ", ".join(repr(n) for n in self.dependencies)
        if name is None:
            raise ConfigError(
                f"{self!r} has {len(self.dependencies)} dependencies ({known}); say which one with "
                "heartbeat(marker, dependency_name=...)."
            )
        if name not in self.dependencies:
            raise ConfigError(f"{self!r} has no dependency {name!r}; it has {known}.")
        return self.dependencies[name]

    # --- down and up again ----------------------------------------------------------------

    async def _look_at(self, dependency: Dependency) -> None:
        downtime = await awaitable(dependency.downtime_check(self, dependency))
        if not downtime:
            return
        dependency.downtime = downtime
        if dependency.is_down:
            return
        logger.warning("%r: %r is down by %s.", self, dependency.name, downtime)
        self._pause()
        dependency.go_down(self._state)
        try:
            if self._downtime_callback is not None:
                await awaitable(self._downtime_callback(self, dependency))
        except BaseException:
            dependency.is_down = False
            self._resume_if_all_are_up()
            raise

    async def _try_to_recover(self, dependency: Dependency) -> None:
        # Other heartbeats leave it alone meanwhile, and the dependent is held until the callback
        # has run, so that nothing gets past an offset that it goes back to.
        self._recovering.add(dependency.name)
        try:
            if not await awaitable(dependency.recovery_check(self, dependency)):
                return
            if self._recovery_callback is not None:
                await awaitable(self._recovery_callback(self, dependency))
        finally:
            self._recovering.discard(dependency.name)
        logger.info("%r: %r has caught up.", self, dependency.name)
        dependency.come_up(self._state)
        self._resume_if_all_are_up()

    def _pause(self) -> None:
        if not self.pause_dependent:
            return
        try:
            self.app.pause(self.dependent)
        except ConfigError as error:
            raise self._unbound() from error

    def _resume_if_all_are_up(self) -> None:
        if self.pause_dependent and not any(d.is_down for d in self.dependencies.values()):
            self.app.resume(self.dependent)

    def _start(self) -> None:
        if self._loaded:  # a record that failed in the last run has undone what it saved
            self._forget()
        self._load()
        if self.pause_dependent and self.app.stream_of(self.dependent) is None:
            raise self._unbound()
        if any(d.is_down for d in self.dependencies.values()):
            self._pause()

    def _unbound(self) -> ConfigError:
        return ConfigError(
            f"{self!r} can't pause {self.dependent!r}: no handler reads it. Give the checkpoint "
            "the very object that was given to handle(), or pass pause_dependent=False."
        )

    # --- what outlives the process --------------------------------------------------------

    def _forget(self) -> None:
        """Know nothing but what was saved: the next use loads it."""
        self._loaded = False
        self._state, self._state_marker = {}, None
        self._recovering.clear()
        for dependency in self.dependencies.values():
            dependency.forget()

    @property
    def _store_name(self) -> str:
        return f"checkpoint/{self.app.name}/{self._key}"

    def _load(self) -> None:
        if self._loaded:
            return
        saved: Any
        if self._cache is not None:
            saved = self._cache[self._key]
        else:
            data = self.app.checkpoint_store().load(self._store_name)
            saved = None if data is None else ExactCodec().decode(data)
        if saved is not None:
            self._restore(saved)
        self._loaded = True

    def _restore(self, saved: Any) -> None:
        if not isinstance(saved, dict) or not saved.keys() >= {"state", "dependencies"}:
            raise StateFormatError(
                f"{self!r} found under {self._key!r} what no checkpoint has saved; choose another "
                "name or cache_key_prefix, or delete it."
            )
        self._state = deepcopy(saved["state"])
        self._state_marker = saved["state_marker"]
        for name, dependency in self.dependencies.items():
            if name in saved["dependencies"]:
                dependency.restore(saved["dependencies"][name])

    def _save(self) -> None:
        value = {
            "state": deepcopy(self._state),
            "state_marker": self._state_marker,
            "dependencies": {n: d.snapshot() for n, d in self.dependencies.items()},
        }
        if self._cache is not None:
            self._cache[self._key] = value
        else:
            self.app.checkpoint_store().save(self._store_name, ExactCodec().encode(value))


def _largest(downtimes: list[Any]) -> Any | None:
    if not downtimes:
        return None
    try:
        return max(downtimes)
    except TypeError:
        # Checks of one's own may measure each dependency in its own way.
        return downtimes[0]
