"""What can be done with a topic of dead letters: look, send again, drop."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from time import monotonic

from slipcore.app import App
from slipcore.deadletters.claims import Claim
from slipcore.deadletters.letters import Id, Letter, Mark, Wanted, mark
from slipcore.deadletters.reading import BATCH, PATIENCE, Reader, existing_topic
from slipcore.deadletters.replaying import Replay, note, sendable, target_of
from slipcore.deadletters.survey import Outcome, Survey, Watch, unwatched
from slipcore.interfaces import ITopic, Record


class Box:
    """A topic of dead letters.

    Args:
        app: the app whose it is, or one that has the configuration alone.
        name: the topic's name.
        watch: told of the progress.
    """

    def __init__(self, app: App, name: str, watch: Watch = unwatched) -> None:
        self._app = app
        self._name = name
        self._watch = watch

    async def survey(self) -> Survey:
        """What it holds.

        Raises:
            SlipError: it is not there, or can't be read.
        """
        found = Survey()
        async with await self._reader() as reader:
            await self._look(reader, found)
        return found

    async def find(self, wanted: Id) -> tuple[Letter, Record, Mark | None]:
        """One letter, with all that it holds, and what became of it.

        Raises:
            ConfigError: there is no such letter.
        """
        found, records = Survey(), list[Record]()
        async with await self._reader() as reader, aclosing(reader.to_end()) as batches:
            async for batch in batches:
                for record in batch:
                    found.take(record)
                    if (record.partition, record.offset) == wanted:
                        records.append(record)
        (letter,) = found.choose(Wanted(ids=(wanted,)), all_of_them=True)
        return letter, records[0], found.marks.get(wanted)

    async def drop(self, wanted: Wanted) -> Outcome:
        """Mark letters as dropped.

        Raises:
            SlipError: another one is at work, or the marks are not durable.
        """
        outcome = Outcome()
        async with await self._reader() as reader, Claim(reader.topic) as claim:
            found = await self._held(reader, claim)
            chosen = found.choose(wanted)
            for begin in range(0, len(chosen), BATCH):
                claim.check()
                some = chosen[begin : begin + BATCH]
                await note(reader.topic, [mark("dropped", claim.token, it.id) for it in some])
                outcome.done[""] += len(some)
                self._watch("dropping", outcome.done[""], len(chosen))
        return outcome

    async def replay(self, wanted: Wanted, to: str | None) -> Outcome:
        """Send the records of letters again, each batch durable before it is marked.

        Args:
            to: the topic that they go to; None: each to its own.

        Raises:
            SlipError: another one is at work, or a topic fails; what is marked was sent.
        """
        async with (
            AsyncExitStack() as stack,
            await self._reader() as reader,
            Claim(reader.topic) as claim,
        ):
            found = await self._held(reader, claim)
            chosen, refused = sendable(found.choose(wanted), to)
            names = dict.fromkeys(target_of(letter, to) for letter in chosen)
            targets = {name: await self._target(name, stack) for name in names}
            outcome = Outcome(refused=refused)
            await reader.rewind()
            await Replay(reader, claim, targets, to, chosen, outcome).run(self._watch)
        return outcome

    async def _reader(self) -> Reader:
        return Reader(await existing_topic(self._app, self._name), self._name)

    async def _target(self, name: str, stack: AsyncExitStack) -> ITopic:
        topic = await existing_topic(self._app, name)
        stack.push_async_callback(topic.close)
        await topic.open()
        return topic

    async def _look(self, reader: Reader, found: Survey) -> None:
        total, read = await reader.behind(), 0
        async with aclosing(reader.to_end()) as batches:
            async for batch in batches:
                for record in batch:
                    found.take(record)
                read += len(batch)
                self._watch("reading", read, max(total, read))

    async def _held(self, reader: Reader, claim: Claim) -> Survey:
        """What it holds, once it is seen that this claim was the first.

        All that former holders have marked was there before the claim, and is read with it.

        Raises:
            SlipError: another one has it.
        """
        found = Survey()
        end = monotonic() + PATIENCE
        while claim.token not in found.holder.won and monotonic() < end:
            await self._look(reader, found)
        if not found.holder.won.get(claim.token):
            raise claim.refused(self._name)
        return found
