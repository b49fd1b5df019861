"""Checkpoints: what outlives a restart, and where it is kept."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from slipcore.app import App
from slipcore.checkpointing import Checkpoint, Dependency
from slipcore.current import use_app
from slipcore.interfaces import ConfigError, ICache, StateFormatError

from .conftest import Callbacks, Restartable, at, beat, checkpoint, dependency, nothing, pulse


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
