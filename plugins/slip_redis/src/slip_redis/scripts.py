"""The Lua scripts: what has to be done at once on the server, or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the folder `lua`.

    Attributes:
        text: what the server runs.
        sha: what it knows the text by.
    """

    text: str
    sha: str


def _load(*names: str) -> Script:
    folder = files("slip_redis") / "lua"
    text = "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return Script(text, hashlib.sha1(text.encode()).hexdigest())


CREATE = _load("create")
APPEND = _load("append")
JOIN = _load("group", "join")
BEAT = _load("group", "beat")
CHANGE = _load("group", "change")
ACCEPT = _load("group", "accept")
LEAVE = _load("group", "leave")
DISSOLVE = _load("dissolve")
PLACE = _load("ids", "group", "place")
COMMIT = _load("ids", "group", "commit")
ENDS = _load("ids", "ends")
LAG = _load("ids", "lag")
POISON = _load("group", "poison")
CLAIM = _load("claim")
RENEW = _load("renew")
RELEASE = _load("release")
WRITE = _load("write")
SCAN = _load("scan")
