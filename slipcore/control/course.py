"""What only time can tell of a lane, remembered from one look to the next."""

from __future__ import annotations

from collections import deque
from typing import Final

RATE_SECONDS: Final = 5.0
"""What a rate is taken over, about."""


class Course:
    """A lane as it was at each look: how fast it is, and since when it has been where it is."""

    def __init__(self, now: float) -> None:
        self.hung_at: float | None = None
        """The record that was reported as hung, by its number or the time of its beginning."""
        self.begun = 0
        self._looks = deque([(now, 0)])
        self._marks: deque[tuple[float, int]] = deque()
        self._in_hand_since: float | None = None
        self._starved_since: float | None = None

    def note(self, now: float, *, begun: int, in_flight: int, in_hand: bool, waiting: bool) -> None:
        """Take note of a look.

        Args:
            now: seconds on a clock that never goes back.
            begun: records that the handler has been given since the start.
            in_flight: of these the unfinished.
            in_hand: whether the handler has one.
            waiting: whether there are records that the handler could be given.
        """
        moved, self.begun = begun != self.begun, begun
        while self._marks and self._marks[-1][1] > begun:  # one that failed is begun again
            self._marks.pop()
        if moved:
            self._marks.append((now, begun))
        while self._marks and self._marks[0][1] <= begun - in_flight:
            self._marks.popleft()
        if in_flight and not self._marks:
            self._marks.append((now, begun))
        self._looks.append((now, begun))
        while self._looks[1][0] < now - RATE_SECONDS:
            self._looks.popleft()
        self._in_hand_since = _since(self._in_hand_since, now, holds=in_hand, anew=moved)
        starved = waiting and not in_hand
        self._starved_since = _since(self._starved_since, now, holds=starved, anew=moved)

    @property
    def rate(self) -> float:
        """Records handled a second, of late."""
        (then, before), (now, begun) = self._looks[0], self._looks[-1]
        return max(0, begun - before) / (now - then) if now > then else 0.0

    def oldest(self, now: float) -> float | None:
        """Age in seconds of the oldest record in flight; None: there is none."""
        return now - self._marks[0][0] if self._marks else None

    def in_hand(self, now: float) -> float:
        """For how many seconds the handler has had the same record."""
        return 0.0 if self._in_hand_since is None else now - self._in_hand_since

    def starved(self, now: float) -> float:
        """For how many seconds nothing has been handled, though something waits."""
        return 0.0 if self._starved_since is None else now - self._starved_since


def _since(before: float | None, now: float, *, holds: bool, anew: bool) -> float | None:
    if not holds:
        return None
    return now if before is None or anew else before
