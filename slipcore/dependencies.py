"""A stream that another one depends on: where it stands, and whether it is down."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from slipcore.interfaces import ConfigError, ICache

if TYPE_CHECKING:
    from slipcore.checkpointing import Checkpoint

Check: TypeAlias = "Callable[[Checkpoint, Dependency], Any | Awaitable[Any]]"
"""Sync or async; called with the checkpoint and the dependency that it is about."""

DOWNTIME_THRESHOLD: Final = timedelta(minutes=10)


class Dependency:
    """A stream that another one depends on, and where the dependent stood when it last beat.

    The name is part of what is stored: it should not change once the checkpoint was used.

    >>> async def emoji():
    ...     for emoji in '🏆📞🐟👌':
    ...         yield emoji
    >>> Dependency('emoji', emoji())
    {'checkpoint_state': None, 'checkpoint_marker': None}

    Args:
        name: its name within the checkpoint.
        dependency: the stream itself.
        downtime_threshold: how far the dependent's marker may be ahead; a timedelta for datetimes.
        downtime_check: gives the downtime, or something falsy while the dependency is up; default:
            the difference of the markers where it is more than the threshold.
        recovery_check: tells whether a dependency that was down has caught up; default: its marker
            is beyond the dependent's.

    Attributes:
        checkpoint_marker: the highest marker of a heartbeat; before the first one, the marker of
            the dependent's first pulse.
        is_down: whether a pulse has found it down and it has not caught up since.
        downtime: the downtime last measured.
    """

    def __init__(
        self,
        name: str,
        dependency: AsyncIterable[Any],
        downtime_threshold: Any = DOWNTIME_THRESHOLD,
        downtime_check: Check | None = None,
        recovery_check: Check | None = None,
    ) -> None:
        self.name = name
        self.dependency = dependency
        self.downtime_threshold = downtime_threshold
        self.checkpoint_marker: Any = None
        self.is_down = False
        self.downtime: Any = None
        self._downtime_check = downtime_check or _exceeds_threshold
        self._recovery_check = recovery_check or _caught_up
        self._good_state: Any = None
        self._down_state: Any = None

    def __repr__(self) -> str:
        shown = {
            "checkpoint_state": self.checkpoint_state,
            "checkpoint_marker": self.checkpoint_marker,
        }
        return repr(shown)

    @property
    def downtime_check(self) -> Check:
        """What tells whether it is down, and for how long."""
        return self._downtime_check

    @property
    def recovery_check(self) -> Check:
        """What tells whether it has caught up."""
        return self._recovery_check

    @property
    def checkpoint_state(self) -> Any:
        """A copy of the dependent's state, to go back to.

        While the dependency is up: as of its last heartbeat. While it is down, in the recovery
        callback too: as of the pulse that found it down, which is the first that is known to have
        worked with stale data.
        """
        return deepcopy(self._down_state if self.is_down else self._good_state)

    @property
    def last_good_state(self) -> Any:
        """A copy of the dependent's state as of the last heartbeat while the dependency was up."""
        return deepcopy(self._good_state)

    def beat(self, state: Any, marker: Any) -> None:
        """Take note of a heartbeat while the dependent's state is `state`."""
        self.checkpoint_marker = later(self.checkpoint_marker, marker)
        if not self.is_down:
            self._good_state = deepcopy(state)

    def go_down(self, state: Any) -> None:
        """Take note that a pulse has found it down while the dependent's state is `state`."""
        self.is_down = True
        self._down_state = deepcopy(state)

    def come_up(self, state: Any) -> None:
        """Take note that it has caught up while the dependent's state is `state`."""
        self.is_down = False
        self._good_state = deepcopy(state)

    def snapshot(self) -> dict[str, Any]:
        """All there is to save, as a copy."""
        return {
            "marker": self.checkpoint_marker,
            "is_down": self.is_down,
            "downtime": self.downtime,
            "good_state": deepcopy(self._good_state),
            "down_state": deepcopy(self._down_state),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Become what `snapshot` has given."""
        self.checkpoint_marker = saved["marker"]
        self.is_down = saved["is_down"]
        self.downtime = saved["downtime"]
        self._good_state = deepcopy(saved["good_state"])
        self._down_state = deepcopy(saved["down_state"])

    def forget(self) -> None:
        """Be as new."""
        self.checkpoint_marker = self.downtime = None
        self.is_down = False
        self._good_state = self._down_state = None

    def load(self, cache: ICache, cache_key_prefix: str) -> None:
        """Load it from a cache of one's own; a checkpoint keeps its dependencies with itself."""
        saved = cache[f"{cache_key_prefix}{self.name}"]
        if saved is not None:
            self.restore(saved)

    def save(
        self, cache: ICache, cache_key_prefix: str, checkpoint_state: Any, checkpoint_marker: Any
    ) -> None:
        """Take note of a heartbeat, and save it to a cache of one's own."""
        self.beat(checkpoint_state, checkpoint_marker)
        cache[f"{cache_key_prefix}{self.name}"] = self.snapshot()


def _exceeds_threshold(checkpoint: Checkpoint, dependency: Dependency) -> Any | None:
    try:
        ahead = checkpoint.state_marker - dependency.checkpoint_marker
        return ahead if ahead > dependency.downtime_threshold else None
    except TypeError as error:
        raise _incomparable(checkpoint, dependency, "downtime_check") from error


def _caught_up(checkpoint: Checkpoint, dependency: Dependency) -> bool:
    try:
        return bool(dependency.checkpoint_marker > checkpoint.state_marker)
    except TypeError as error:
        raise _incomparable(checkpoint, dependency, "recovery_check") from error


def _incomparable(checkpoint: Checkpoint, dependency: Dependency, check: str) -> ConfigError:
    return ConfigError(
        f"{checkpoint!r} can't compare {checkpoint.state_marker!r} with "
        f"{dependency.checkpoint_marker!r} of {dependency.name!r} and the threshold "
        f"{dependency.downtime_threshold!r}: pass markers of one kind to check_pulse() and "
        f"heartbeat() (datetimes all with or all without a zone), or a {check} of your own."
    )


def later(former: Any, marker: Any) -> Any:
    """The higher of two markers; the new one where they have no order."""
    if former is None:
        return marker
    try:
        return max(former, marker)
    except TypeError:
        return marker
