"""What is read from letters and marks, and who may work on them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slipcore.deadletters.claims import Holder
from slipcore.deadletters.letters import Mark, Wanted, again, letter_of, mark, mark_of
from slipcore.deadletters.survey import Survey
from slipcore.engine.letters import Failure, letter
from slipcore.interfaces import Headers, Out, Record

PLACE = ("dead", 1, 7)


def stood(out: Out) -> Record:
    """An output as it is read."""
    return Record(out.value, out.key, *PLACE, out.timestamp or 0, out.headers)


def put_aside(record: Record, message: str = "why") -> Record:
    return stood(letter(record, None, "order", "handling", Failure(ValueError(message), 2)))


names = st.sampled_from(("trace", "slip-dlq-topic", "slip-dlq-binding", "slip-dlq-offset"))
headers = st.lists(st.tuples(names, st.binary(max_size=4)), max_size=4).map(tuple)


@given(st.none() | st.binary(), st.none() | st.binary(), headers)
def test_what_is_sent_again_is_what_it_was(
    value: bytes | None, key: bytes | None, own: Headers
) -> None:
    """Bytes, headers, timestamp and partition, whatever headers the record had."""
    aside = put_aside(Record(value, key, "orders", 3, 42, 5_000, own))
    told = letter_of(aside)
    assert told is not None
    assert (told.origin, told.name) == (("orders", 3, 42), "1:7")
    added = (("slip-dlq-replayed", b"dead[1]@7"), ("slip-dlq-replays", b"1"))
    assert again(aside, told, "dead", None) == Out(value, key, (*own, *added), 5_000, 3)
    assert again(aside, told, "dead", "other").partition is None


def test_the_count_of_replays_grows_and_is_there_once() -> None:
    """From letter to letter."""
    record = Record(b"v", None, "orders", 0, 1)
    for count in (1, 2, 3):
        aside = put_aside(record)
        told = letter_of(aside)
        assert told is not None
        assert told.replays == count - 1
        record = Record(b"v", None, "orders", 0, count, 0, again(aside, told, "dead", None).headers)
        assert record.headers == (
            ("slip-dlq-replayed", b"dead[1]@7"),
            ("slip-dlq-replays", b"%d" % count),
        )


def test_a_mark_says_what_was_noted() -> None:
    """It goes to the partition of its letter, with its name as the key, and is no letter."""
    noted = mark("replayed", "me", (2, 9), "orders")
    out = noted.out()
    assert (out.key, out.value, out.partition) == (b"2:9", b"null", 2)
    assert mark_of(stood(out)) == noted
    assert letter_of(stood(out)) is None


def test_a_mark_that_a_reader_failed_at_is_a_letter() -> None:
    """It marks nothing in the topic where it is put aside."""
    aside = put_aside(stood(mark("dropped", "me", (1, 7)).out()))
    assert mark_of(aside) is None
    assert letter_of(aside) is not None


def test_what_is_neither_letter_nor_mark_is_counted() -> None:
    """Half a letter too."""
    found = Survey()
    for told in ((), (("slip-dlq-binding", b"b"),), (("slip-dlq-mark", b"eaten"),)):
        found.take(Record(b"", None, *PLACE, 0, told))
    assert (found.foreign, found.choose(Wanted())) == (3, [])


def after(*claims: tuple[str, str, int]) -> Holder:
    """Who holds the letters after claims: what was said, by whom, and at which second."""
    holder = Holder()
    for word, by, second in claims:
        holder.take(Mark(word, None, by, second * 1000))  # type: ignore[arg-type]  # literals
    return holder


def test_the_first_claim_holds_until_it_is_released() -> None:
    """One that comes meanwhile is void, and stays so."""
    both = (("claimed", "a", 0), ("claimed", "b", 1))
    assert after(*both).by == "a"
    assert after(*both).won == {"a": True, "b": False}
    released = (*both, ("released", "b", 2), ("released", "a", 3))
    assert after(*released).by == ""
    assert after(*released, ("claimed", "b", 4)).by == ""
    assert after(*released, ("claimed", "c", 4)).by == "c"


def test_a_claim_that_nobody_renews_runs_out() -> None:
    """A renewed one does not, and one that ran out does not come back over its successor."""
    assert after(("claimed", "a", 0), ("claimed", "b", 31)).by == "b"
    assert after(("claimed", "a", 0), ("claimed", "a", 20), ("claimed", "b", 45)).by == "a"
    assert after(("claimed", "a", 0), ("claimed", "b", 31), ("claimed", "a", 32)).by == "b"
