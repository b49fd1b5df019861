"""`slip dlq` as a user meets it: a real app fails, its letters are seen to from outside."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any, TypeAlias

import pytest

from slipcore import App, Out, Record
from slipcore.config import Config
from slipcore.plugins import Plugins
from slipcore.testing.reader import unique
from tests.conftest import SLIP
from tests.servers.kafka import Kafka
from tests.servers.redis import Redis

Write: TypeAlias = Callable[..., Path]

DEADLINE = 60.0

SHOP = """
    from pathlib import Path

    from slipcore import Topic, dead_letter, handle, retry
    from slipcore.current import current_app

    orders = Topic("ORDERS", codec="json")


    @handle(
        orders,
        on_error=[retry(2, on=ConnectionError, backoff=0.01), dead_letter("DEAD")],
        on_decode_error=dead_letter("DEAD"),
    )
    def order(record):
        if record.value == "last":
            current_app().stop()
        elif not Path("mended").exists():
            if record.value == "net":
                raise ConnectionError("no net\\nto be had")
            raise ValueError("no such thing")
        else:
            print(record.value, record.timestamp, record.headers, flush=True)
"""

KILLED = """
    import os
    import signal
    from pathlib import Path

    from slipcore.backends.sqlite.topic import SqliteTopic
    from slipcore.deadletters import claims

    claims.LEASE = 3.0
    sending = SqliteTopic.send


    def send(self, output):
        if dict(output.headers).get("slip-dlq-mark") == b"replayed" and not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return sending(self, output)


    SqliteTopic.send = send
"""

STALLED = """
    import asyncio
    from pathlib import Path

    from slipcore.deadletters.replaying import Replay

    running = Replay.run


    async def run(self, watch):
        Path("begun").touch()
        while not Path("go").exists():
            await asyncio.sleep(0.01)
        await running(self, watch)


    Replay.run = run
"""


class Shop:
    """An app whose records fail, in a directory of its own."""

    def __init__(
        self, environ: dict[str, str], write: Write, directory: Path, backend: str = ""
    ) -> None:
        self.environ = environ
        self.directory = directory
        self.orders, self.dead = unique("orders"), unique("dead")
        self.names = {"ORDERS": self.orders, "DEAD": self.dead}
        write("slip.toml", backend)
        write("shop.py", SHOP, replace=self.names)

    def slip(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `slip`, as on no terminal, until it ends."""
        return subprocess.run(
            [*SLIP, *args],
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def topic(self, name: str) -> Any:
        app = App("checker", config=Config.load(self.directory, {}), plugins=Plugins.from_env({}))
        return app.topic(name, codec="raw", conf={"group_id": unique("checker")})

    def fill(self, *values: bytes | None, name: str = "", headers: Any = ()) -> None:
        """Send records with keys and timestamps that count from 1,000."""

        async def work() -> None:
            topic = self.topic(name or self.orders)
            async with topic.make() as opened:
                for number, value in enumerate(values):
                    opened.send(Out(value, b"k%d" % number, headers, 1_000_000 + number))
                await opened.flush()
            topic.app.close()

        asyncio.run(work())

    def read(self, name: str, count: int) -> list[Record]:
        async def work() -> list[Record]:
            found: list[Record] = []
            topic = self.topic(name)
            async with asyncio.timeout(DEADLINE):
                async for record in topic:
                    found.append(record)
                    if len(found) == count:
                        break
            topic.app.close()
            return found

        return asyncio.run(work())

    def run(self) -> str:
        """Have the app handle all there is, and give what it printed."""
        self.fill(b'"last"')
        result = self.slip("run", "shop.py", "-q")
        assert result.returncode == 0, result.stderr
        return result.stdout

    def fail(self) -> None:
        """Three letters: 0:0 can't be decoded, 0:1 and 0:2 can't be handled."""
        self.fill(b"{\xff", b'"net"', b'"bad"', headers=(("trace", b"\xff7"),))
        self.run()

    def mend(self) -> None:
        (self.directory / "mended").touch()

    def letters(self, *args: str) -> list[dict[str, Any]]:
        result = self.slip("dlq", "list", self.dead, "--json", *args)
        assert result.returncode == 0, result.stderr
        found: list[dict[str, Any]] = json.loads(result.stdout)
        return found

    def ids(self, *args: str) -> list[str]:
        return [row["id"] for row in self.letters(*args)]

    def dlq(self, *args: str, code: int = 0) -> str:
        verb, *rest = args
        result = self.slip("dlq", verb, self.dead, *rest)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr


@pytest.fixture
def shop(slip_environment: dict[str, str], write: Write, tmp_path: Path) -> Shop:
    return Shop(slip_environment, write, tmp_path)


def test_letters_are_listed_with_all_that_is_known(shop: Shop) -> None:
    """Each with its record, error and tries; for people the first line of the message."""
    shop.fail()
    rows = shop.letters()
    assert [(row["id"], row["stage"], row["tries"], row["state"]) for row in rows] == [
        ("0:0", "decoding", 1, "waiting"),
        ("0:1", "handling", 3, "waiting"),
        ("0:2", "handling", 1, "waiting"),
    ]
    assert (rows[1]["error"], rows[1]["message"]) == (
        "builtins.ConnectionError",
        "no net\nto be had",
    )
    place = [rows[1][name] for name in ("topic", "partition", "offset", "timestamp", "binding")]
    assert place == [shop.orders, 0, 1, 1_000_001, "order"]
    text = shop.dlq("list")
    assert "to be had" not in text
    assert "3 letters: DecodeError 1, ConnectionError 1, ValueError 1." in text


def test_filters_choose_by_error_binding_stage_and_time(shop: Shop) -> None:
    """An error's type with or without its module, as a pattern; a limit."""
    shop.fail()
    assert shop.ids("--error", "ConnectionError") == ["0:1"]
    assert shop.ids("--error", "builtins.*") == ["0:1", "0:2"]
    assert shop.ids("--stage", "decoding") == ["0:0"]
    assert shop.ids("--binding", "order", "--limit", "2") == ["0:0", "0:1"]
    assert shop.ids("--binding", "other") == []
    assert shop.ids("--since", "1h") == ["0:0", "0:1", "0:2"]
    assert shop.ids("--until", "1h") == []
    assert shop.ids("--since", "2020-01-01", "--until", "2021-01-01T00:00Z") == []


def test_show_tells_all_of_a_letter(shop: Shop) -> None:
    """Key, value and headers as they were, byte for byte; the traceback; the value to a file."""
    shop.fail()
    text = shop.dlq("show", "0:0", "--raw", "value.bin")
    assert (shop.directory / "value.bin").read_bytes() == b"{\xff"
    assert "00000000  7b ff" in text
    assert r"trace: b'\xff7'" in text
    whole = json.loads(shop.dlq("show", "0:1", "--json"))
    assert (whole["key"], whole["value"]) == ("k1", '"net"')
    assert whole["headers"] == [["trace", base64.b64encode(b"\xff7").decode()]]
    assert whole["traceback"].rstrip().endswith("no net\nto be had")


def test_a_replay_sends_the_record_as_it_was_and_never_again(shop: Shop) -> None:
    """To its topic, with its key, headers and timestamp; a second replay finds nothing to do."""
    shop.fail()
    assert f"1 letter replayed to {shop.orders}." in shop.dlq("replay", "--error", "ValueError")
    assert shop.ids() == ["0:0", "0:1"]
    assert f"2 letters replayed to {shop.orders}." in shop.dlq("replay")
    assert "Nothing is replayed" in shop.dlq("replay")
    again = shop.read(shop.orders, 7)[4:]
    assert [(r.value, r.key, r.timestamp) for r in again] == [
        (b'"bad"', b"k2", 1_000_002),
        (b"{\xff", b"k0", 1_000_000),
        (b'"net"', b"k1", 1_000_001),
    ]
    assert again[0].headers == (
        ("trace", b"\xff7"),
        ("slip-dlq-replayed", f"{shop.dead}[0]@2".encode()),
        ("slip-dlq-replays", b"1"),
    )
    states = [(row["state"], row["to"]) for row in shop.letters("--all")]
    assert states == [("replayed", shop.orders)] * 3


def test_what_is_replayed_is_handled_once_mended(shop: Shop) -> None:
    """The app finds it like any record."""
    shop.fail()
    shop.mend()
    shop.dlq("replay", "--stage", "handling")
    assert [line.split()[0] for line in shop.run().splitlines()] == ["net", "bad"]


def test_a_record_that_fails_again_is_a_new_letter_that_counts(shop: Shop) -> None:
    """With the headers that it had and no others; its replay says 2."""
    shop.fail()
    shop.dlq("replay", "--id", "0:2")
    shop.run()
    (row,) = shop.letters("--error", "ValueError")
    assert (row["replays"], row["state"]) == (1, "waiting")
    shop.dlq("replay", "--id", row["id"])
    *_, again = shop.read(shop.orders, 7)
    assert [name for name, _ in again.headers] == ["trace", "slip-dlq-replayed", "slip-dlq-replays"]
    assert dict(again.headers)["slip-dlq-replays"] == b"2"


def test_a_dry_run_and_a_limit_leave_the_rest(shop: Shop) -> None:
    """A dry run sends and marks nothing."""
    shop.fail()
    assert "3 letters would be replayed" in shop.dlq("replay", "--dry-run")
    assert "2 letters would be dropped" in shop.dlq("drop", "--dry-run", "--limit", "2")
    assert shop.ids() == ["0:0", "0:1", "0:2"]
    shop.dlq("replay", "--limit", "1")
    assert shop.ids() == ["0:1", "0:2"]


def test_dropped_letters_are_hidden_and_not_replayed(shop: Shop) -> None:
    """--all shows them."""
    shop.fail()
    assert "1 letter dropped." in shop.dlq("drop", "--id", "0:1")
    assert shop.ids() == ["0:0", "0:2"]
    assert "2 letters replayed" in shop.dlq("replay")
    states = [row["state"] for row in shop.letters("--all")]
    assert states == ["replayed", "dropped", "replayed"]


def test_replays_go_elsewhere_where_they_are_told_to(shop: Shop) -> None:
    """--to names a topic that is there."""
    shop.fail()
    assert "is not there yet" in shop.dlq("replay", "--to", "elsewhere", code=2)
    shop.fill(b"first", name="elsewhere")
    assert "3 letters replayed to elsewhere." in shop.dlq("replay", "--to", "elsewhere")
    values = [record.value for record in shop.read("elsewhere", 4)]
    assert values == [b"first", b"{\xff", b'"net"', b'"bad"']


def test_what_is_wrong_is_said_in_a_sentence(shop: Shop) -> None:
    """Nothing is made for it, and the exit code is that of a wrong name."""
    assert "is not there yet" in shop.dlq("list", code=2)
    shop.fail()
    wrong = shop.slip("dlq", "list", "ded")
    assert (wrong.returncode, "the topic ded is not there yet" in wrong.stderr) == (2, True)
    assert "There is no letter 0:9" in shop.dlq("show", "0:9", code=2)
    assert "There is no letter 1:0" in shop.dlq("replay", "--id", "1:0", code=2)
    assert "'nine' is no letter" in shop.dlq("show", "nine", code=2)
    assert "'yesterday' is no time" in shop.dlq("list", "--since", "yesterday", code=2)
    assert "is where the letters are" in shop.dlq("replay", "--to", shop.dead, code=2)
    assert "holds no letters." in shop.slip("dlq", "list", shop.orders).stdout


def test_what_is_no_record_of_a_topic_is_not_replayed(shop: Shop, write: Write) -> None:
    """An item of an iterable has no topic, and an object no bytes; the rest is replayed."""
    shop.fail()
    write(
        "items.py",
        """
        from slipcore import dead_letter, handle

        async def items():
            yield {"an": "object"}
            yield b"bytes"

        @handle(items(), on_error=dead_letter("DEAD"))
        def fails(item):
            raise KeyError(1)
        """,
        replace={"DEAD": shop.dead},
    )
    assert shop.slip("run", "items.py").returncode == 0
    said = shop.dlq("replay", code=1)
    assert "Letter 0:3" in said
    assert "its value is the json of an object" in said
    assert "it has no original topic: say with --to" in said
    assert f"3 letters replayed to {shop.orders}." in said
    assert shop.ids() == ["0:3", "0:4"]
    shop.dlq("replay", "--to", shop.orders, "--id", "0:4")
    assert shop.ids() == ["0:3"]


def test_nothing_is_left_behind_and_nobody_is_moved(shop: Shop) -> None:
    """No consumer group but that of the app, whose position stays."""
    shop.fail()

    def groups() -> list[Any]:
        tables = ("committed", "epochs", "members", "leases")
        with closing(sqlite3.connect(shop.directory / ".slip" / "slip.db")) as db:
            return [sorted(db.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]

    before = groups()
    shop.dlq("list")
    shop.dlq("show", "0:1")
    shop.dlq("replay")
    assert groups() == before


def test_letters_are_seen_to_while_the_app_runs(
    shop: Shop, start_slip: Callable[..., subprocess.Popen[str]]
) -> None:
    """What is replayed comes to the app that is running."""
    shop.fail()
    shop.mend()
    process = start_slip("run", "shop.py", "-q")
    assert f"2 letters replayed to {shop.orders}" in shop.dlq("replay", "--stage", "handling")
    assert process.stdout is not None
    assert [process.stdout.readline().split()[0] for _ in range(2)] == ["net", "bad"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 0


def test_kill_9_between_sending_and_marking_repeats_no_more_than_that(
    shop: Shop, write: Write
) -> None:
    """Nothing is lost: the batch that was sent and not marked is sent once more."""
    shop.fail()
    write("shop.py", KILLED, SHOP, replace=shop.names)
    shop.dlq("replay", "shop.py", "--limit", "2", code=-signal.SIGKILL)
    assert shop.ids() == ["0:0", "0:1", "0:2"]
    deadline = time.monotonic() + DEADLINE
    while (result := shop.slip("dlq", "replay", shop.dead, "shop.py")).returncode != 0:
        waits = ("is under way", "took no note")  # the latter where this machine stands still
        assert any(words in result.stderr for words in waits), result.stderr
        assert time.monotonic() < deadline
    assert shop.ids() == []
    values = [record.value for record in shop.read(shop.orders, 9)[4:]]
    assert values == [b"{\xff", b'"net"', b"{\xff", b'"net"', b'"bad"']


def test_one_replay_works_at_a_time(shop: Shop, write: Write) -> None:
    """Another one is refused as long as the first lasts, and then finds nothing to do."""
    shop.fail()
    write("shop.py", STALLED, SHOP, replace=shop.names)
    command = [*SLIP, "dlq", "replay", shop.dead, "shop.py"]
    first = subprocess.Popen(
        command, cwd=shop.directory, env=shop.environ, stdin=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + DEADLINE
        while not (shop.directory / "begun").exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "is under way" in shop.dlq("replay", code=1)
        assert "is under way" in shop.dlq("drop", code=1)
        (shop.directory / "go").touch()
        assert first.wait(DEADLINE) == 0
    finally:
        first.kill()
        first.wait()
    assert "Nothing is replayed" in shop.dlq("replay")
    assert len(shop.read(shop.orders, 7)) == 7


def test_ten_thousand_letters_are_listed_in_seconds(shop: Shop) -> None:
    """As lines, since it takes long to fit columns to each other; and replayed, batch by batch."""
    headers = {"binding": "b", "stage": "handling", "tries": "1", "time": "1000", "error": "E"}
    headers |= {"message": "m", "traceback": "t", "key": "bytes", "value": "bytes"}
    headers |= {"topic": "there", "partition": "0", "offset": "1", "timestamp": "5"}
    told = tuple((f"slip-dlq-{name}", value.encode()) for name, value in headers.items())
    shop.fill(b"", name="there")
    shop.fill(*(b"%d" % number for number in range(10_000)), name=shop.dead, headers=told)
    before = getrusage(RUSAGE_CHILDREN).ru_utime  # of the processor: others may be at work too
    lines = shop.dlq("list").splitlines()
    assert getrusage(RUSAGE_CHILDREN).ru_utime - before < 5
    assert (len(lines), lines[-1]) == (10_002, "10,000 letters: E 10,000.")
    assert "10,000 letters replayed to there." in shop.dlq("replay")
    values = [record.value for record in shop.read("there", 10_001)[1:]]
    assert values == [b"%d" % number for number in range(10_000)]


def on_kafka(kafka: Kafka) -> str:
    return f"""
        [defaults]
        topic = "kafka"
        [backends.kafka]
        bootstrap_servers = "{kafka.address}"
        partitions = 2
    """


def see_to(shop: Shop) -> None:
    shop.fail()
    assert sorted(row["tries"] for row in shop.letters()) == [1, 1, 3]
    (letter,) = shop.ids("--error", "ConnectionError")
    assert '"net"' in shop.dlq("show", letter)
    shop.dlq("drop", "--stage", "decoding")
    assert f"2 letters replayed to {shop.orders}." in shop.dlq("replay")
    assert "Nothing is replayed" in shop.dlq("replay")
    shop.mend()
    assert sorted(line.split()[:2] for line in shop.run().splitlines()) == [
        ["bad", "1000002"],
        ["net", "1000001"],
    ]


def test_letters_on_kafka(
    kafka: Kafka, slip_environment: dict[str, str], write: Write, tmp_path: Path
) -> None:
    """The same over two partitions of a broker; nothing is committed for a group of their own."""
    see_to(Shop(slip_environment, write, tmp_path, on_kafka(kafka)))


def test_letters_on_redis(
    redis: Redis, slip_environment: dict[str, str], write: Write, tmp_path: Path
) -> None:
    """The same on Redis, which keeps no group of those who looked."""
    from redis import Redis as Client

    settings = f'url = "{redis.url}"\npartitions = 2\n'
    config = f'[defaults]\ntopic = "redis"\n[backends.redis]\n{settings}'
    shop = Shop(slip_environment, write, tmp_path, config)
    see_to(shop)
    with Client.from_url(redis.url) as client:
        keys = [key.decode() for key in client.keys(f"{{slip:{shop.dead}}}:group:*")]
        streams = [f"{{slip:{shop.dead}}}:{partition}" for partition in range(2)]
        groups = [client.xinfo_groups(stream) for stream in streams if client.exists(stream)]
    assert keys == []
    assert groups == [[] for _ in groups]
