"""What announces plugins: the entry points of the installed distributions, and who brings them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

from slipcore.errors import PluginError

GROUP: Final = "slipcore"
CORE: Final = "slipcore"


class EntryPoint(Protocol):
    """What announces a plugin: `importlib.metadata.EntryPoint`, of any version of it."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def dist(self) -> Any:
        """The distribution, an `importlib.metadata.Distribution`; None where it is not known."""

    def load(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a distribution says of itself; empty where its metadata can't be read.

    Attributes:
        requires: its requirements, as they are written.
    """

    name: str = ""
    version: str = ""
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands among entry points and is none; loading it says so."""

    name: str
    value: str = ""
    dist: None = None

    def load(self) -> NoReturn:
        raise PluginError("its line in entry_points.txt is not of the form name = module")


def installed() -> Iterator[tuple[EntryPoint, Distribution]]:
    """The entry points of the group; of two distributions of one name, those of the first.

    `importlib.metadata.entry_points()` fails for all of them where one file is damaged, and takes
    longer: it also makes the entry points of all other groups.
    """
    from importlib.metadata import distributions

    seen: set[str] = set()
    for dist in distributions():
        found = list(_entry_points(_read(dist, "entry_points.txt")))
        if not found:
            continue
        brought_by = described(dist)
        if brought_by.name and brought_by.name in seen:
            continue
        seen.add(brought_by.name)
        yield from ((entry_point, brought_by) for entry_point in found)


def described(dist: Any) -> Distribution:
    """What a distribution says of itself.

    Only the lines that matter are read: the parser of mail headers behind `dist.metadata` takes
    longer for a hundred distributions than to import their plugins.
    """
    if dist is None:
        return Distribution()
    text = _read(dist, "METADATA") or _read(dist, "PKG-INFO")
    said: dict[str, list[str]] = {"name": [], "version": [], "requires-dist": []}
    for line in text.partition("\n\n")[0].splitlines():  # what follows is the description
        key, _, value = line.partition(":")
        if (values := said.get(key.lower())) is not None:
            values.append(value.strip())
    return Distribution(
        "".join(said["name"][:1]), "".join(said["version"][:1]), tuple(said["requires-dist"])
    )


def is_installed(name: str) -> bool:
    """Whether there is a distribution of that name."""
    from importlib.metadata import distributions

    return any(distributions(name=name))


def owns(dist: Distribution, module: str) -> bool:
    """Whether a distribution is the one that a module comes with, by their names."""
    return re.sub(r"[-_.]+", "_", dist.name).lower() == module.partition(".")[0].strip().lower()


def core_version() -> str:
    """The version of this core; empty where it is on the path without being installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return described(distribution(CORE)).version
    except PackageNotFoundError:
        return ""


def _entry_points(text: str) -> Iterator[EntryPoint]:
    """The entry points of the group in the text of an entry_points.txt."""
    if GROUP not in text:
        return
    from importlib.metadata import EntryPoint

    section = ""
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            section = line.strip("[] ")
            continue
        if section == GROUP:
            name, equals, value = line.partition("=")
            made = EntryPoint(name.strip(), value.strip(), GROUP)
            yield made if equals and value else Unreadable(line)


def _read(dist: Any, file: str) -> str:
    """A file of a distribution, as far as it is text; empty where there is none to read."""
    try:
        return dist.read_text(file) or ""
    except UnicodeDecodeError as error:  # the lines that are no UTF-8 are to be told, not lost
        return error.object.decode(errors="replace")
    except (OSError, ValueError):
        return ""
