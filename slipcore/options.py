"""Settings that all backends of a kind understand, and what a backend tells of itself.

An options class is a Struct or a dataclass. What stands as a string under a field is that option's
help, for `slip backends` and the documentation; a number says its unit by its type:

    class LogOptions(TopicOptions, kw_only=True, forbid_unknown_fields=True):
        poll_interval: Seconds = 0.5
        '''Between two looks whether there is something new.'''

It may have a method `probe`, see `Probing`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, TypeAlias, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from slipcore.interfaces import Scope

Seconds: TypeAlias = Annotated[float, msgspec.Meta(extra={"unit": "s"})]
"""An option that is a time in seconds."""

Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(extra={"unit": "ms"})]
"""An option that is a time in whole milliseconds."""

ByteCount: TypeAlias = Annotated[int, msgspec.Meta(extra={"unit": "bytes"})]
"""An option that is a size in bytes."""


class Probed(msgspec.Struct, frozen=True):
    """What a server, file or directory says when it is asked for nothing but an answer.

    Attributes:
        answered: who did, for people: "Redis 8.2.1 at 127.0.0.1:6379". No secrets.
        version: of the server, or of the library that keeps the file; None: it can't be told.
        missing: what is not there yet, or not as it has to be, a sentence each.
    """

    answered: str
    version: str | None = None
    missing: tuple[str, ...] = ()


@runtime_checkable
class Probing(Protocol):
    """What an options class may offer: `slip doctor` asks by it whether its server answers.

    Opening a resource would make what is not there, and join groups; this does neither.
    """

    async def probe(self, names: Collection[str], scope: Scope, timeout: float) -> Probed:
        """Connect as a resource of these options would, look, and leave all as it is.

        It has an event loop and a thread of its own, and may block.

        Args:
            names: the resources of these options.
            scope: of the app that they belong to; nothing may be shared through it.
            timeout: seconds within which to say why there is no answer.

        Raises:
            SlipError: there is no answer, or none that is of use: a sentence with the way out.
        """
        ...


class StateOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings of a state store; a backend's options extend them."""

    outlives_process: ClassVar[bool] = True
    """Whether state is there after a crash of the process."""
    one_store: ClassVar[bool] = False
    """Whether all caches with equal options are spaces of one store, written together."""


class TopicOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings that every topic backend understands; a backend's options extend them."""

    outlives_process: ClassVar[bool] = True
    """Whether what a topic holds is there after a crash of the process."""

    group_id: str | None = None
    """Consumer group; None: the app's name."""
    group_instance_id: str | None = None
    """Identity of this member across restarts, unique in its group; None: a new one each time."""
    auto_offset_reset: str = "earliest"
    """Where a group without a position starts: "earliest" or "latest"."""

    def __post_init__(self) -> None:
        if self.auto_offset_reset not in ("earliest", "latest"):
            raise ValueError(
                f'auto_offset_reset is "earliest" or "latest", not "{self.auto_offset_reset}"'
            )
