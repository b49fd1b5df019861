"""What is remembered of a lane from one look to the next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slipcore.control.course import Course


def noted(*looks: tuple[float, int, int]) -> Course:
    """A course after looks, each its time, records begun, and of these those in flight."""
    course = Course(0.0)
    for now, begun, in_flight in looks:
        course.note(now, begun=begun, in_flight=in_flight, in_hand=in_flight > 0, waiting=False)
    return course


def test_a_rate_is_of_the_last_seconds() -> None:
    """What was faster long ago does not count."""
    assert noted((1.0, 100, 0)).rate == 100.0
    assert noted(*((float(second), 1000, 0) for second in range(1, 20))).rate == 0.0
    assert noted(*((float(second), second * 7, 0) for second in range(1, 20))).rate == 7.0


def test_a_record_in_hand_ages_until_the_next_one() -> None:
    """The same record for 3 s; another one begins anew."""
    course = noted((1.0, 5, 1), (4.0, 5, 1))
    assert (course.in_hand(4.0), course.oldest(4.0)) == (3.0, 3.0)
    course.note(5.0, begun=6, in_flight=1, in_hand=True, waiting=False)
    assert (course.in_hand(5.0), course.oldest(5.0)) == (0.0, 0.0)


def test_an_idle_hour_does_not_age_the_record_after_it() -> None:
    """Nor is a source that was empty taken for one that starves."""
    course = noted((1.0, 5, 0), (3600.0, 6, 1))
    assert (course.in_hand(3600.0), course.oldest(3600.0)) == (0.0, 0.0)
    course.note(3601.0, begun=6, in_flight=0, in_hand=False, waiting=True)
    assert course.starved(3601.0) == 0.0


def test_what_waits_while_nothing_is_handled_starves() -> None:
    """From the first look at which it did."""
    course = Course(0.0)
    for now in (1.0, 2.0, 6.0):
        course.note(now, begun=3, in_flight=0, in_hand=False, waiting=True)
    assert course.starved(6.0) == 5.0


def test_the_oldest_is_what_was_begun_first() -> None:
    """Though others were begun and finished since."""
    course = noted((1.0, 10, 10), (2.0, 20, 15), (3.0, 30, 12))
    assert course.oldest(3.0) == 1.0
    assert noted((1.0, 10, 10), (2.0, 20, 0)).oldest(2.0) is None


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40),
)
def test_ages_and_rates_are_never_negative(steps: list[tuple[int, int]]) -> None:
    """Whatever is begun, finished, or begun again after a failure."""
    course = Course(0.0)
    for now, (begun, in_flight) in enumerate(steps, 1):
        in_flight = min(begun, in_flight)
        course.note(
            float(now), begun=begun, in_flight=in_flight, in_hand=in_flight > 0, waiting=True
        )
        oldest = course.oldest(float(now))
        assert course.rate >= 0.0
        assert (oldest is None) == (in_flight == 0)
        assert (oldest or 0.0) >= 0.0
