"""Reading a topic from its start to its present end, unseen by whoever else reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Final, Protocol, Self, runtime_checkable
from uuid import uuid4

from slipcore.app import App
from slipcore.choice import Choice
from slipcore.interfaces import (
    READ_FROM_START,
    ConfigError,
    ConnectError,
    ITopic,
    Probing,
    Record,
    SourceError,
)
from slipcore.resources import Topic
from slipcore.settings import Setting

PROBE_SECONDS: Final = 10.0
"""How long a server may take to say whether a topic is there."""

LOOK_SECONDS: Final = 0.5
"""Without a record for so long, a reader asks how many there are left."""

QUIET_SECONDS: Final = 3.0
"""Without a record for so long, a topic that does not say how many are left has been read."""

PATIENCE: Final = 60.0
"""Seconds without a record that is known to be there, or without an assignment."""

BATCH: Final = 500
"""Records that are read, sent or marked together at the most."""


@runtime_checkable
class Forgetting(Protocol):
    """What a topic may offer: to leave no trace of who has read it."""

    async def forget_group(self) -> None:
        """Leave the consumer group and delete it; nobody else may be in it."""
        ...


async def existing_topic(app: App, name: str) -> ITopic:
    """A topic by name, as the app or its configuration has it, not opened yet.

    It is read by a consumer group of its own, from the oldest record on.

    Raises:
        ConfigError: there is no such topic, or only the app's own process sees it.
        ConnectError: nobody says whether there is one.
    """
    choice = _choice(app, name)
    if not choice.outlives_process:
        raise ConfigError(
            f"{choice.resource} is on {choice.backend.name}, and what it holds ends with the "
            f"process of its app: put it on another backend ({choice.reason})."
        )
    options = choice.options()
    if isinstance(options, Probing):
        # A probe has an event loop of its own, and may block.
        probed = await asyncio.to_thread(
            asyncio.run, options.probe([name], app.scope, PROBE_SECONDS)
        )
        for missing in probed.missing:
            raise ConfigError(
                f"{choice.resource} can't be used, on {choice.backend.name} ({choice.reason}): "
                f"{missing.partition(';')[0]}. Name a topic that is there, and the app file too "
                "where it is the app that says on which backend."
            )
    made = choice.backend.load()(name, options, app.scope)
    if not isinstance(made, ITopic):
        raise ConfigError(
            f"{choice.resource}: '{choice.backend.name}' of {choice.backend.owner} is no topic."
        )
    return made


def _choice(app: App, name: str) -> Choice:
    """The topic's backend and settings, but those of a reader of its own."""
    named = [topic for topic in app.topics if topic.name == name] or [Topic(name, app=app)]
    choices = {choice.backend.name: choice for choice in (topic.choice() for topic in named)}
    if len(choices) > 1:
        raise ConfigError(
            f"The app has topics '{name}' on {' and '.join(sorted(choices))}: which one is meant "
            "is said by slip.toml alone, without the app."
        )
    (choice,) = choices.values()
    own: dict[str, Any] = {
        "group_id": f"slip-dlq-{uuid4().hex[:12]}",
        "group_instance_id": None,
        "auto_offset_reset": "earliest",
    }
    settings = {key: Setting(value, "slip dlq") for key, value in own.items()}
    return replace(choice, settings={**choice.settings, **settings})


class Reader:
    """Reads a topic to its present end, again and again, and commits nothing.

    Args:
        topic: one of `existing_topic`.
        name: the topic's name.
    """

    def __init__(self, topic: ITopic, name: str) -> None:
        self.topic = topic
        self.name = name
        self._partitions: Sequence[int] = ()

    async def __aenter__(self) -> Self:
        try:
            await self.topic.open()
            async with asyncio.timeout(PATIENCE):
                assignment = await self.topic.assignment()
                await self.topic.accept(assignment, {})
        except TimeoutError:
            await self.topic.close()
            raise ConnectError(
                f"The topic {self.name} gave no partitions to read within {PATIENCE:g} s: see "
                "that its server is well."
            ) from None
        except BaseException:
            await self.topic.close()
            raise
        self._partitions = sorted(assignment.added)
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            if isinstance(self.topic, Forgetting):
                await self.topic.forget_group()
        finally:
            await self.topic.close()

    async def rewind(self) -> None:
        """Go on with the oldest record."""
        await self.topic.seek(dict.fromkeys(self._partitions, READ_FROM_START))

    async def behind(self) -> int:
        """How many records there are to be read, as far as it is known."""
        return sum((await self.topic.lag()).values())

    async def to_end(self) -> AsyncGenerator[Sequence[Record], None]:
        """The records that are there when it is called, and perhaps some that came after them.

        Raises:
            SourceError: there are more, and they don't come.
        """
        left: dict[int, int] | None = dict(await self.topic.lag()) or None
        came = monotonic()
        while left is None or any(count > 0 for count in left.values()):
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    records = await self.topic.read(BATCH)
            except TimeoutError:
                # Offsets without a record, of transactions and of compaction, count as left.
                now = await self.topic.lag()
                if now:
                    left = {p: min(n, (left or now).get(p, n)) for p, n in now.items()}
                elif left is None and monotonic() - came > QUIET_SECONDS:
                    return
                if monotonic() - came > PATIENCE:
                    raise SourceError(
                        f"The topic {self.name} has more records, and none came within "
                        f"{PATIENCE:g} s: see that its server is well."
                    ) from None
                continue
            came = monotonic()
            if not records:
                return
            for record in records if left is not None else ():
                assert left is not None
                left[record.partition] = left.get(record.partition, 0) - 1
            yield records
