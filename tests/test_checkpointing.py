"""Checkpoints: downtimes found, dependents paused, recovery, and what outlives a restart."""

import asyncio
import doctest
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import slipcore.checkpointing
import slipcore.dependencies
from slipcore.app import App
from slipcore.checkpointing import Checkpoint, Dependency
from slipcore.current import use_app
from slipcore.interfaces import ConfigError, ICache, ICheckpointStore, StateFormatError


class Store(ICheckpointStore):
    """A checkpoint store that keeps bytes for as long as the test lasts."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self.states.get(name)

    def save(self, name: str, state: bytes) -> None:
        self.states[name] = state


class Stage:
    """What a checkpoint asks of its app, and a record of it."""

    def __init__(self, store: Store, unbound: bool = False) -> None:
        self.name = "shop"
        self.store = store
        self.unbound = unbound
        self.calls: list[str] = []
        self.start_hooks: list[Callable[[], Any]] = []

    def on_start(self, hook: Callable[[], Any]) -> None:
        self.start_hooks.append(hook)

    def start(self) -> None:
        for hook in self.start_hooks:
            hook()

    def checkpoint_store(self) -> Store:
        return self.store

    def stream_of(self, source: object) -> object | None:
        return None if self.unbound else object()

    def pause(self, source: object) -> None:
        if self.unbound:
            raise ConfigError(f"no handler reads {source!r}")
        self.calls.append(f"pause {source}")

    def resume(self, source: object) -> None:
        self.calls.append(f"resume {source}")


class FalsyCache(ICache):
    """A dictionary, and as such false while it is empty."""

    def __init__(self) -> None:
        self.db: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.db)

    def __contains__(self, key: Any) -> bool:
        return key in self.db

    def __delitem__(self, key: Any) -> None:
        del self.db[key]

    def __getitem__(self, key: Any) -> Any:
        return self.db.get(key)

    def __setitem__(self, key: Any, val: Any) -> None:
        self.db[key] = val


class Restartable:
    """Makes the current app, and the next one on the same store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store()
        self._monkeypatch = monkeypatch
        self.app = self.restart()

    def restart(self, unbound: bool = False) -> Stage:
        self.app = app = Stage(self.store, unbound)
        self._monkeypatch.setattr("slipcore.current.current_app", lambda: app)
        return app


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Restartable:
    return Restartable(monkeypatch)


async def nothing() -> Any:
    for item in list[Any]():
        yield item


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2025, 1, 1, hour, minute)


def checkpoint(*dependencies: Dependency, **kwargs: Any) -> Checkpoint:
    return Checkpoint("c", "dependent", list(dependencies), **kwargs)  # type: ignore[arg-type]  # what may be refused too


def dependency(name: str = "d", **kwargs: Any) -> Dependency:
    return Dependency(name, nothing(), **kwargs)


def pulse(c: Checkpoint, marker: Any, **state: Any) -> Any:
    return asyncio.run(c.check_pulse(marker, **state))


def beat(c: Checkpoint, marker: Any, name: str | None = None) -> dict[str, Any]:
    return asyncio.run(c.heartbeat(marker, name))


class Callbacks:
    """Writes down which callback was called for which dependency, and what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def down(self, c: Checkpoint, d: Dependency) -> None:
        self.seen.append(("down", d.name, d.checkpoint_state, d.last_good_state))

    async def up(self, c: Checkpoint, d: Dependency) -> None:
        await asyncio.sleep(0)
        self.seen.append(("up", d.name, d.checkpoint_state, d.last_good_state))


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


def test_states_are_snapshots(process: Restartable) -> None:
    """What is passed, shown or saved can be changed by nobody afterwards."""
    cache = FalsyCache()
    d = dependency()
    c = checkpoint(d, cache=cache)
    offsets = {"0": [1]}
    pulse(c, at(10), offsets=offsets)
    beat(c, at(10))
    offsets["0"].append(2)
    c.state["offsets"].clear()
    d.checkpoint_state.clear()
    d.last_good_state.clear()
    cache["_c"]["state"].clear()
    pulse(c, at(10, 1), more=1)
    assert c.state == {"offsets": {"0": [1]}, "more": 1}
    assert d.checkpoint_state == d.last_good_state == {"offsets": {"0": [1]}}


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


def test_a_falsy_cache_is_a_cache(process: Restartable) -> None:
    """An empty cache is written to, everything as one value under prefix and name."""
    cache = FalsyCache()
    c = checkpoint(dependency(), cache=cache, cache_key_prefix="checkpoints/")
    pulse(c, at(10), offset=1)
    assert list(cache.db) == ["checkpoints/c"]
    assert process.store.states == {}


@pytest.mark.parametrize("cached", [True, False], ids=["cache", "store"])
def test_a_downtime_outlives_a_restart(process: Restartable, cached: bool) -> None:
    """The dependent is paused again at the start, nothing is called twice, recovery is called."""
    cache = FalsyCache() if cached else None
    callbacks = Callbacks()

    def make() -> Checkpoint:
        return checkpoint(
            dependency(),
            cache=cache,
            downtime_callback=callbacks.down,
            recovery_callback=callbacks.up,
        )

    before = make()
    pulse(before, at(9), n=0)
    beat(before, at(10))
    pulse(before, at(11), n=1)
    app = process.restart()
    after = make()
    app.start()
    assert app.calls == ["pause dependent"]
    assert pulse(after, at(11), n=2) == timedelta(hours=1)
    assert beat(after, at(11, 1))["is_late"] is False
    assert app.calls == ["pause dependent", "resume dependent"]
    assert callbacks.seen == [("down", "d", {"n": 1}, {"n": 0}), ("up", "d", {"n": 1}, {"n": 0})]
    app = process.restart()
    make()
    app.start()
    assert app.calls == []


def test_a_restart_forgets_no_dependency_and_takes_new_ones(process: Restartable) -> None:
    """A dependency that was added since starts without marker; the others have theirs."""
    c = checkpoint(dependency("a"))
    beat(c, at(10))
    process.restart()
    c = checkpoint(dependency("a"), dependency("new"))
    assert (c["a"].checkpoint_marker, c["new"].checkpoint_marker) == (at(10), None)


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


def test_a_foreign_value_is_refused(process: Restartable) -> None:
    """A cache that holds something else under the key is not taken for a checkpoint."""
    cache = FalsyCache()
    cache["_c"] = {"offset": 1}
    c = checkpoint(dependency(), cache=cache)
    with pytest.raises(StateFormatError, match="found under '_c' what no checkpoint has saved"):
        pulse(c, at(10))


def test_a_dependency_saves_itself_where_it_is_told(process: Restartable) -> None:
    """`save` and `load` keep state and marker as one value under prefix and name."""
    cache = FalsyCache()
    dependency("emoji").save(cache, "_", {"offset": 3}, at(10))
    assert list(cache.db) == ["_emoji"]
    again = dependency("emoji")
    again.load(cache, "_")
    assert (again.checkpoint_state, again.checkpoint_marker) == ({"offset": 3}, at(10))
    other = dependency("other")
    other.load(cache, "_")
    assert other.checkpoint_marker is None


def test_an_app_starts_with_its_dependent_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart in a downtime, no record passes before the dependency has caught up."""
    monkeypatch.chdir(tmp_path)
    events: list[Any] = []

    async def pulses() -> AsyncIterator[int]:
        for marker in (31, 32):
            yield marker

    async def beats() -> AsyncIterator[int]:
        for marker in (25, 31):
            await asyncio.sleep(0.05)
            yield marker

    def make() -> tuple[App, Checkpoint]:
        app = App("shop")
        former = use_app(app)
        dependent, source = pulses(), beats()
        c = Checkpoint(
            "c",
            dependent,
            [Dependency("d", source, downtime_threshold=10)],
            recovery_callback=lambda c, d: events.append(("up", d.checkpoint_state)),
        )
        use_app(former)

        @app.handle(dependent)
        async def pulse(marker: int) -> None:
            events.append(("pulse", marker, await c.check_pulse(marker)))

        @app.handle(source)
        async def beat(marker: int) -> None:
            events.append(("beat", (await c.heartbeat(marker))["is_late"]))

        return app, c

    async def main() -> None:
        app, c = make()
        await c.heartbeat(10)
        assert await c.check_pulse(30, offset=7) == 20
        app.close()
        app, c = make()
        await asyncio.wait_for(app.stream(), 10)
        app.close()

    asyncio.run(main())
    assert events == [
        ("beat", True),
        ("up", {"offset": 7}),
        ("beat", False),
        ("pulse", 31, None),
        ("pulse", 32, None),
    ]


def test_an_app_refuses_a_dependent_that_no_handler_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start fails and names the checkpoint, before anything is read."""
    monkeypatch.chdir(tmp_path)
    app = App("shop")
    former = use_app(app)
    bound = nothing()
    Checkpoint("c", nothing(), [Dependency("d", bound)])
    use_app(former)
    app.handle(bound)(lambda msg: None)
    with pytest.raises(ConfigError, match=r"Checkpoint\('c'\) can't pause"):
        asyncio.run(app.stream())
    app.close()


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
