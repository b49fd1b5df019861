"""Checkpoints: downtimes found and told once, dependents paused, recovery."""

import asyncio
import doctest
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import slipcore.checkpointing
import slipcore.dependencies
from slipcore.checkpointing import Checkpoint, Dependency
from slipcore.interfaces import ConfigError

from .conftest import Callbacks, Restartable, at, beat, checkpoint, dependency, pulse


def test_the_documented_example_holds(process: Restartable) -> None:
    """First pulse, heartbeat, downtime of 30 minutes, late heartbeat, recovery."""
    c = checkpoint(dependency("dependency"))
    assert repr(c["dependency"]) == "{'checkpoint_state': None, 'checkpoint_marker': None}"
    assert pulse(c, at(10), offset=8) is None
    assert c["dependency"].checkpoint_marker == at(10)
    assert beat(c, at(10, 30)) == {
        "is_late": False,
        "dependent_marker": at(10),
        "dependency_marker": at(10, 30),
    }
    assert pulse(c, at(11), offset=9) == timedelta(seconds=1800)
    assert beat(c, at(10, 45))["is_late"] is True
    assert beat(c, at(11, 1))["is_late"] is False
    assert process.app.calls == ["pause dependent", "resume dependent"]
    assert c.state == {"offset": 9}
    assert c.state_marker == at(11)


def test_the_callback_gets_the_pulse_that_found_the_downtime(process: Restartable) -> None:
    """The cookbook's run: weather each hour, activities at half past, back to offset 2."""
    callbacks = Callbacks()
    weather = dependency("weather", downtime_threshold=timedelta(hours=1))
    c = checkpoint(weather, downtime_callback=callbacks.down, recovery_callback=callbacks.up)
    beat(c, at(10))
    assert pulse(c, at(10, 30), **{"0": 0}) is None
    beat(c, at(11))
    assert pulse(c, at(11, 30), **{"0": 1}) is None
    assert pulse(c, at(12, 30), **{"0": 2}) == timedelta(hours=1, minutes=30)
    assert beat(c, at(12))["is_late"] is True
    assert beat(c, at(13))["is_late"] is False
    assert callbacks.seen == [
        ("down", "weather", {"0": 2}, {"0": 0}),
        ("up", "weather", {"0": 2}, {"0": 0}),
    ]
    assert weather.last_good_state == weather.checkpoint_state == {"0": 2}


def test_a_downtime_is_called_once(process: Restartable) -> None:
    """Every pulse while it is down gives the downtime; the callback hears of the transition."""
    callbacks = Callbacks()
    c = checkpoint(dependency(), downtime_callback=callbacks.down, recovery_callback=callbacks.up)
    beat(c, at(10))
    assert [pulse(c, at(11), n=n) for n in range(3)] == [timedelta(hours=1)] * 3
    assert pulse(c, at(12), n=3) == timedelta(hours=2)
    assert callbacks.seen == [("down", "d", {"n": 0}, {})]
    beat(c, at(13))
    beat(c, at(13, 1))
    assert [seen[0] for seen in callbacks.seen] == ["down", "up"]
    assert process.app.calls == ["pause dependent", "resume dependent"]
    assert pulse(c, at(14), n=4) == timedelta(minutes=59)
    assert [seen[0] for seen in callbacks.seen] == ["down", "up", "down"]


def test_one_that_is_up_does_not_hide_one_that_is_down(process: Restartable) -> None:
    """The largest downtime is given, and the dependent waits for all; each recovery is called."""
    callbacks = Callbacks()
    c = checkpoint(
        dependency("a"), dependency("b"), dependency("fine"), recovery_callback=callbacks.up
    )
    for name, marker in (("a", at(9)), ("b", at(10)), ("fine", at(11))):
        beat(c, marker, name)
    assert pulse(c, at(11), n=1) == timedelta(hours=2)
    beat(c, at(11, 5), "a")
    assert callbacks.seen == [("up", "a", {"n": 1}, {})]
    assert process.app.calls == ["pause dependent"] * 2
    assert pulse(c, at(11), n=2) == timedelta(hours=1)
    beat(c, at(11, 5), "b")
    assert [seen[:2] for seen in callbacks.seen] == [("up", "a"), ("up", "b")]
    assert process.app.calls[2:] == ["resume dependent"]
    assert pulse(c, at(11), n=3) is None


def test_one_that_is_catching_up_still_counts_as_down(process: Restartable) -> None:
    """Within the threshold again but not past the dependent: the last downtime is given."""
    c = checkpoint(dependency(), pause_dependent=False)
    beat(c, at(10))
    assert pulse(c, at(11)) == timedelta(hours=1)
    assert beat(c, at(10, 55))["is_late"] is True
    assert pulse(c, at(11)) == timedelta(hours=1)
    assert process.app.calls == []


def test_markers_never_go_back(process: Restartable) -> None:
    """Records that are processed again leave the markers where they were."""
    c = checkpoint(dependency())
    beat(c, at(11))
    beat(c, at(9))
    pulse(c, at(11, 5))
    pulse(c, at(8))
    assert (c["d"].checkpoint_marker, c.state_marker) == (at(11), at(11, 5))


def test_a_falsy_marker_is_a_marker(process: Restartable) -> None:
    """A heartbeat at 0 is a heartbeat: numbers do as markers, with a number as threshold."""
    c = checkpoint(dependency(downtime_threshold=10))
    beat(c, 0)
    assert pulse(c, 10) is None
    assert pulse(c, 11) == 11
    assert beat(c, 12)["is_late"] is False


def test_a_dependent_that_nobody_reads_is_an_error(process: Restartable) -> None:
    """At the start, and at a downtime: it can't be paused, and the checkpoint is named."""
    app = process.restart(unbound=True)
    c = checkpoint(dependency())
    with pytest.raises(ConfigError, match=r"Checkpoint\('c'\) can't pause 'dependent'"):
        app.start()
    beat(c, at(10))
    with pytest.raises(ConfigError, match=r"Checkpoint\('c'\) can't pause 'dependent'"):
        pulse(c, at(11))
    assert c["d"].is_down is False


def test_an_unbound_dependent_that_is_not_paused_is_none(process: Restartable) -> None:
    """With pause_dependent=False nothing has to be bound."""
    app = process.restart(unbound=True)
    c = checkpoint(dependency(), pause_dependent=False)
    app.start()
    beat(c, at(10))
    assert pulse(c, at(11)) == timedelta(hours=1)


def test_a_downtime_callback_that_fails_is_called_again(process: Restartable) -> None:
    """The pulse raises, the dependent goes on, and the next pulse finds the downtime anew."""
    calls: list[str] = []

    def fails_once(c: Checkpoint, d: Dependency) -> None:
        calls.append(d.name)
        if len(calls) == 1:
            raise RuntimeError("unreachable")

    c = checkpoint(dependency(), downtime_callback=fails_once)
    beat(c, at(10))
    with pytest.raises(RuntimeError, match="unreachable"):
        pulse(c, at(11))
    assert process.app.calls == ["pause dependent", "resume dependent"]
    pulse(c, at(11))
    assert calls == ["d", "d"]
    assert process.app.calls[2:] == ["pause dependent"]


def test_a_recovery_callback_that_fails_is_called_again(process: Restartable) -> None:
    """The dependent stays paused until a heartbeat's callback has run to its end."""
    calls: list[Any] = []

    async def fails_once(c: Checkpoint, d: Dependency) -> None:
        calls.append(d.checkpoint_state)
        if len(calls) == 1:
            raise RuntimeError("seek failed")

    c = checkpoint(dependency(), recovery_callback=fails_once)
    beat(c, at(10))
    pulse(c, at(11), n=1)
    with pytest.raises(RuntimeError, match="seek failed"):
        beat(c, at(12))
    assert process.app.calls == ["pause dependent"]
    beat(c, at(12))
    assert calls == [{"n": 1}, {"n": 1}]
    assert process.app.calls == ["pause dependent", "resume dependent"]


def test_the_dependent_waits_for_the_recovery_callback(process: Restartable) -> None:
    """While the callback waits, other heartbeats call nothing and the dependent is held."""
    calls: list[str] = []

    async def main() -> None:
        going_back = asyncio.Event()

        async def seek(c: Checkpoint, d: Dependency) -> None:
            calls.append("seek")
            await going_back.wait()

        c = checkpoint(dependency(), recovery_callback=seek)
        await c.heartbeat(at(10))
        await c.check_pulse(at(11))
        first = asyncio.ensure_future(c.heartbeat(at(12)))
        await asyncio.sleep(0)
        second = await asyncio.wait_for(c.heartbeat(at(12, 1)), 5)
        assert second["is_late"] is True
        assert process.app.calls == ["pause dependent"]
        going_back.set()
        assert (await first)["is_late"] is False

    asyncio.run(main())
    assert calls == ["seek"]
    assert process.app.calls == ["pause dependent", "resume dependent"]


def test_checks_may_be_async_and_ones_own(process: Restartable) -> None:
    """Markers of any kind go with checks of one's own; a falsy answer means up."""

    async def down(c: Checkpoint, d: Dependency) -> Any:
        await asyncio.sleep(0)
        return "broken" if c.state_marker["broken"] else ""

    async def up(c: Checkpoint, d: Dependency) -> bool:
        await asyncio.sleep(0)
        return bool(d.checkpoint_marker["well"])

    d = dependency(downtime_check=down, recovery_check=up)
    assert (d.downtime_check, d.recovery_check) == (down, up)
    c = checkpoint(d)
    assert pulse(c, {"broken": False}) is None
    assert pulse(c, {"broken": True}) == "broken"
    assert beat(c, {"well": False})["is_late"] is True
    assert beat(c, {"well": True})["is_late"] is False


def test_markers_that_do_not_compare_are_named(process: Restartable) -> None:
    """A datetime with a zone beside one without: the error says what to do."""
    c = checkpoint(dependency())
    beat(c, at(10))
    with pytest.raises(
        ConfigError, match=r"Checkpoint\('c'\) can't compare .* 'd'.*downtime_check"
    ):
        pulse(c, datetime(2025, 1, 1, tzinfo=UTC))


def test_the_dependency_must_be_known(process: Restartable) -> None:
    """With several the name is needed; an unknown name, or one given twice, is an error."""
    c = checkpoint(dependency("a"), dependency("b"))
    with pytest.raises(ConfigError, match=r"2 dependencies \('a', 'b'\).*dependency_name"):
        beat(c, at(10))
    with pytest.raises(ConfigError, match="no dependency 'x'; it has 'a', 'b'"):
        beat(c, at(10), "x")
    with pytest.raises(KeyError):
        c["x"]
    with pytest.raises(ConfigError, match="two dependencies of one name"):
        checkpoint(dependency("a"), dependency("a"))


EVENTS = st.lists(st.tuples(st.sampled_from(["pulse", "a", "b"]), st.integers(0, 60)), max_size=40)


@given(EVENTS)
def test_paused_exactly_while_a_dependency_is_down(events: list[tuple[str, int]]) -> None:
    """Whatever the order of events: pauses and resumes agree with `is_down`, callbacks alternate,
    and a restart after any of them changes nothing.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        process = Restartable(monkeypatch)
        callbacks = Callbacks()

        def make() -> Checkpoint:
            return checkpoint(
                *(dependency(n, downtime_threshold=10) for n in "ab"),
                downtime_callback=callbacks.down,
                recovery_callback=callbacks.up,
            )

        async def main() -> None:
            paused = False
            for number, (kind, marker) in enumerate(events):
                c = make()
                process.app.start()
                if kind == "pulse":
                    downtime = await c.check_pulse(marker, n=number)
                    assert (downtime is not None) == any(d.is_down for d in c.dependencies.values())
                else:
                    await c.heartbeat(marker, kind)
                if process.app.calls:
                    paused = process.app.calls[-1] == "pause dependent"
                assert paused == any(d.is_down for d in c.dependencies.values())
                process.restart()

        asyncio.run(main())
        for name in "ab":
            kinds = [seen[0] for seen in callbacks.seen if seen[1] == name]
            assert kinds == ["down", "up"] * (len(kinds) // 2) + ["down"] * (len(kinds) % 2)


@pytest.mark.parametrize("module", [slipcore.checkpointing, slipcore.dependencies])
def test_the_docstrings_say_what_happens(process: Restartable, module: Any) -> None:
    """The examples print what they show, where nothing is running."""
    process.app.handle = lambda *_, **__: lambda f: f  # type: ignore[attr-defined]  # a stand-in
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
