"""A plan as a Mermaid flowchart, https://mermaid.js.org/syntax/flowchart.html."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from slipcore.plan import BindingPlan, Plan, ResourcePlan

_SHAPES: Final = {
    "topic": ("([", "])"),
    "cache": ("[(", ")]"),
    "iterable": ("[/", "/]"),
    "function": ("[/", "/]"),
}
"""What stands around a label; a rectangle for all else."""

_RECTANGLE: Final = ("[", "]")

_ENTITIES: Final = str.maketrans(
    {
        "#": "#35;",
        '"': "#quot;",
        "<": "#lt;",
        ">": "#gt;",
        "&": "#amp;",
        "`": "#96;",
        "\\": "#92;",
        "|": "#124;",
        "\n": " ",
    }
)


def graph_text(plan: Plan) -> str:
    """Sources, handlers, sinks and state, left to right."""
    return "\n".join(("flowchart LR", *_Graph().lines(plan)))


class _Node(NamedTuple):
    """A node, and the line that declares it, if none has."""

    id: str
    declared: tuple[str, ...]


class _Graph:
    """Nodes with ids of their own: names may be anything."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], str] = {}
        self._number = 0

    def lines(self, plan: Plan) -> Iterator[str]:
        for binding in plan.bindings:
            yield from self._binding(binding)

    def _binding(self, binding: BindingPlan) -> Iterator[str]:
        handler = self._new_id()
        guarantees = [f"outputs {binding.delivery}"]
        if binding.state_delivery is not None:
            guarantees.append(f"state {binding.state_delivery}")
        yield f"    {handler}{_shaped(_RECTANGLE, binding.name, *guarantees)}"
        through = f'|"{_escaped(", ".join(binding.pipes))}"|' if binding.pipes else ""
        for source in binding.sources:
            node = self._node(source)
            yield from (*node.declared, f"    {node.id} -->{through} {handler}")
        kept = {cache.name for cache in binding.state}
        for sink in binding.sinks:
            if sink.kind == "cache" and sink.name in kept:
                continue  # the edge to its state says it
            node = self._node(sink)
            yield from (*node.declared, f"    {handler} --> {node.id}")
        for cache in binding.state:
            node = self._node(cache)
            yield from (*node.declared, f"    {handler} <--> {node.id}")

    def _node(self, resource: ResourcePlan) -> _Node:
        """The node of a resource; a topic or cache has one, whoever uses it."""
        key = resource.kind, resource.name
        if resource.backend is not None and key in self._ids:
            return _Node(self._ids[key], ())
        made = self._ids[key] = self._new_id()
        on = f"{resource.kind} on {resource.backend}" if resource.backend else resource.kind
        shape = _SHAPES.get(resource.kind, _RECTANGLE)
        return _Node(made, (f"    {made}{_shaped(shape, resource.name, on)}",))

    def _new_id(self) -> str:
        self._number += 1
        return f"n{self._number}"


def _shaped(shape: tuple[str, str], *lines: str) -> str:
    begin, end = shape
    return f'{begin}"{"<br/>".join(map(_escaped, lines))}"{end}'


def _escaped(text: str) -> str:
    """As Mermaid takes it within quotes: by entities."""
    return text.translate(_ENTITIES)
