"""`slip plugins`: what is installed, what it provides, and why something can't be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from slipcore.cli.backends import listed
from slipcore.cli.exits import FAILED, MISCONFIGURED
from slipcore.cli.printing import print_json, print_table, print_text, say_failure
from slipcore.config import Config
from slipcore.interfaces import BackendConflictError, SlipError
from slipcore.plugins import KINDS, Plugins


class Conflict(msgspec.Struct, frozen=True):
    """A name that two plugins registered.

    Attributes:
        owners: the plugins, each as "distribution:plugin".
    """

    kind: str
    name: str
    owners: list[str]


class PluginRow(msgspec.Struct, frozen=True):
    """One plugin. Field names are stable: `slip plugins --json` prints them.

    Attributes:
        status: "loaded", "failed" or "disabled".
        provides: kind -> names.
        reason: why it is not used, or what is wrong with it; None where it is in order.
        conflicts: names that another plugin registers too.
    """

    name: str
    distribution: str
    version: str
    status: str
    provides: Mapping[str, Sequence[str]]
    reason: str | None
    conflicts: list[Conflict]

    @property
    def owner(self) -> str:
        return f"{self.distribution}:{self.name}" if self.distribution else self.name


def list_plugins(*, as_json: bool, check: bool) -> int:
    """Print the plugins and return the exit code."""
    try:
        plugins = Plugins.of(Config.load(), strict=False)
        rows = plugin_rows(plugins)
    except SlipError as error:
        say_failure(str(error))
        return MISCONFIGURED
    if as_json:
        print_json(rows)
    else:
        _print(rows, _provided(plugins), list(_sentences(plugins)))
    wrong = any((row.reason and row.status != "disabled") or row.conflicts for row in rows)
    return FAILED if check and wrong else 0


def plugin_rows(plugins: Plugins) -> list[PluginRow]:
    """All plugins, with what each has in conflict with others."""
    conflicts = list(_conflicts(plugins))
    return [
        PluginRow(
            info.name,
            info.distribution,
            info.version,
            info.status,
            info.provides,
            info.reason,
            [conflict for conflict in conflicts if info.owner in conflict.owners],
        )
        for info in plugins.report()
    ]


def _provided(plugins: Plugins) -> dict[str, str]:
    """What each plugin provides, by owner, a line for each kind."""
    names: dict[str, dict[str, list[str]]] = {}
    for backend in listed(plugins):
        names.setdefault(backend.owner, {}).setdefault(backend.kind, []).append(backend.name)
    return {
        owner: "\n".join(f"{kind.replace('_', ' ')}: {', '.join(of)}" for kind, of in kinds.items())
        for owner, kinds in names.items()
    }


def _conflicts(plugins: Plugins) -> Iterator[Conflict]:
    for name in plugins.names():
        for kind in KINDS:
            owners = sorted(b.owner for b in plugins.of_name(name) if b.kind == kind)
            if len(owners) > 1:
                yield Conflict(kind, name, owners)


def _sentences(plugins: Plugins) -> Iterator[str]:
    """What using a name in conflict says; once for a topic, which is registered twice."""
    said: set[tuple[str, tuple[str, ...]]] = set()
    for conflict in _conflicts(plugins):
        same = conflict.name, tuple(conflict.owners)
        if conflict.kind == "sink" and same in said:
            continue
        said.add(same)
        try:
            plugins.get(conflict.kind, conflict.name)
        except BackendConflictError as error:
            yield str(error)


def _print(
    rows: Sequence[PluginRow], provided: Mapping[str, str], conflicts: Sequence[str]
) -> None:
    print_table(
        ("PLUGIN", "DISTRIBUTION", "VERSION", "STATUS", "PROVIDES"),
        [
            (row.name, row.distribution, row.version, row.status, provided.get(row.owner, ""))
            for row in rows
        ],
        whole=("VERSION", "STATUS"),
    )
    for row in rows:
        if row.reason:
            print_text("", f"{row.name}: {row.reason}")
    for sentence in conflicts:
        print_text("", sentence)
