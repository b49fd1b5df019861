"""A topic that is used outside of a run lets go of its client by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipcore import App, Topic
from slipcore.backends.memory.topic import MemoryTopic
from slipcore.config import Config


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[Topic]:
    """A topic in memory that no handler reads."""
    app = App("bare", config=Config(tmp_path))
    yield app.topic("orders", backend="memory")
    app.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What clients of topics in memory are asked for, with time for others in between."""
    seen: list[str] = []
    for name in ("open", "close"):

        async def call(
            self: MemoryTopic, name: str = name, original: object = getattr(MemoryTopic, name)
        ) -> None:
            seen.append(name)
            await asyncio.sleep(0)
            assert callable(original)
            await original(self)

        monkeypatch.setattr(MemoryTopic, name, call)
    return seen


def test_its_client_ends_with_the_event_loop(topic: Topic, calls: list[str]) -> None:
    """Each loop has one, however many send at once."""

    async def send() -> None:
        await asyncio.gather(*(topic(str(n)) for n in range(3)))
        await topic("later")

    asyncio.run(send())
    assert calls == ["open", "close"]
    asyncio.run(send())
    assert calls == ["open", "close"] * 2


def test_it_is_closed_when_it_is_asked_to(topic: Topic, calls: list[str]) -> None:
    """Once, and it can be used again."""

    async def send() -> None:
        await topic("a")
        await topic.aclose()
        await topic.aclose()
        assert calls == ["open", "close"]
        await topic("b")

    asyncio.run(send())
    assert calls == ["open", "close"] * 2


def test_a_client_that_can_not_be_opened_is_closed(
    topic: Topic, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try has a new one."""

    async def fail(self: MemoryTopic) -> None:
        raise OSError("not yet")

    async def send() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(MemoryTopic, "open", fail)
            with pytest.raises(OSError, match="not yet"):
                await topic("a")
        assert calls == ["close"]
        await topic("a")

    asyncio.run(send())
    assert calls == ["close", "open", "close"]
