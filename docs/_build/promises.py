"""Has the ids of promises show in the contracts as what they are: names that can be linked to."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

from slipcore.testing.promises import promised


class Promises(Extension):
    """`[source.order]` in a docstring becomes an anchor of that name."""

    def __init__(self) -> None:
        super().__init__()
        words = "|".join(map(re.escape, sorted(promised(), key=len, reverse=True)))
        self._id = re.compile(rf"\[({words})\]")
        self._seen: set[str] = set()

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of each object once it is complete."""
        if obj.docstring is not None:
            obj.docstring.value = self._id.sub(self._anchor, obj.docstring.value)

    def _anchor(self, found: re.Match[str]) -> str:
        name = found[1]
        if name in self._seen:
            return f"`{name}`"
        self._seen.add(name)
        return f"`{name}`{{ #{name} }}"
