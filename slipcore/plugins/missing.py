"""What to tell whoever asks for a backend that nobody registered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from slipcore.plugins.known import KNOWN, Known, brought
from slipcore.plugins.registry import PluginInfo, kind_words, words
from slipcore.plugins.selection import canonical
from slipcore.settings import nearest

if TYPE_CHECKING:
    from slipcore.plugins.catalogue import Plugins

FEW: Final = 3
"""So many plugins are told with their reasons where nobody knows a name; of more only the names."""


def missing(plugins: Plugins, name: str, kind: str | None) -> str:
    """What there is, what was probably meant, who would have brought it and why not.

    Only what is known is told as such. A plugin that failed before it registered anything is known
    by its own name alone, and may be what was meant, or not.

    Args:
        kind: None: of any kind.
    """
    names = plugins.names(kind)
    what = words(kind, name) if kind is not None else f"backend '{name}'"
    said = [f"There is no {what}: there are {', '.join(names)}."]
    meant = name
    if not brought(name, kind) and not plugins.unused(name, kind):
        backends = {*names, *plugins.lost(kind), *(of for of in KNOWN if brought(of, kind))}
        meant = nearest(name, backends - {name}) or name
    if meant != name:
        said.append(f"Did you mean '{meant}'?")
    culprits = plugins.unused(meant, kind)
    known = KNOWN[meant] if brought(meant, kind) and meant not in names else None
    if culprits:
        sure = plugins.lost(kind).get(meant, ())
        for info in culprits:
            its = info.owner in sure or (known is not None and _is_of(info, known))
            said.append(f"It {'would' if its else 'may'} come with {_which(info)}")
    elif known is not None:
        said.append(_brought_by(known, plugins.report()))
    elif elsewhere := _elsewhere(plugins, name, kind):
        said.append(elsewhere)
    else:
        unused = plugins.all_unused()
        near = nearest(name, {info.name for info in unused}) if meant == name else None
        guessed = [info for info in unused if info.name == near]
        said += (f"It may come with {_which(info)}" for info in guessed)
        said += () if guessed else _all_unused(unused)
    return " ".join(said)


def _elsewhere(plugins: Plugins, name: str, kind: str | None) -> str | None:
    """What has the name, where that is of other kinds than the one that was asked for."""
    if kind is None:
        return None
    kinds = [backend.kind for backend in plugins.of_name(name)]
    of = ""
    if not kinds and name in KNOWN:
        kinds = list(KNOWN[name].kinds)
        of = f", of {KNOWN[name].distribution},"
    if not kinds:
        return None
    if {"source", "sink"} <= set(kinds):
        kinds = ["topic", *(other for other in kinds if other not in ("source", "sink"))]
    said = " and a ".join(other.replace("_", " ") for other in kinds)
    return f"'{name}'{of} is a {said}, and no {kind_words(kind)}."


def _brought_by(known: Known, report: Iterable[PluginInfo]) -> str:
    for info in report:
        if _is_of(info, known):
            does = "does not register it" if info.status == "loaded" else "is not used"
            return f"It belongs to {info.distribution}; the installed {info.version} {does}."
    return f"It comes with {known.distribution}: {known.install()}."


def _is_of(info: PluginInfo, known: Known) -> bool:
    return canonical(info.distribution) == known.distribution


def _which(info: PluginInfo) -> str:
    return _ended(f"the plugin {info.owner}, which {_became(info)}")


def _became(info: PluginInfo) -> str:
    became = {"failed": "failed", "disabled": "is disabled", "loaded": "is loaded"}
    return f"{became[info.status]}: {info.reason}"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith("?") else f"{sentence}."


def _all_unused(unused: list[PluginInfo]) -> Iterator[str]:
    """Who else may bring a name: a plugin that is not loaded can't tell."""
    for status, became in (
        ("failed", "failed"),
        ("disabled", "are disabled"),
        ("loaded", "register nothing"),
    ):
        infos = [info for info in unused if info.status == status]
        if len(infos) <= FEW:
            yield from (_ended(f"Plugin {info.owner} {_became(info)}") for info in infos)
        else:
            owners = ", ".join(info.owner for info in infos)
            yield f"These plugins {became} and may bring it, `slip plugins` says why: {owners}."
