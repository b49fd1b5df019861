"""Settings that all backends of a kind understand, and what a backend tells of itself.

An options class is a Struct or a dataclass. What stands as a string under a field is that option's
help, for `slip backends` and the documentation; a number says its unit by its type:

    class LogOptions(TopicOptions, kw_only=True, forbid_unknown_fields=True):
        poll_interval: Seconds = 0.5
        '''Between two looks whether there is something new.'''
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

import msgspec

Seconds: TypeAlias = Annotated[float, msgspec.Meta(extra={"unit": "s"})]
"""An option that is a time in seconds."""

Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(extra={"unit": "ms"})]
"""An option that is a time in whole milliseconds."""

ByteCount: TypeAlias = Annotated[int, msgspec.Meta(extra={"unit": "bytes"})]
"""An option that is a size in bytes."""


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
