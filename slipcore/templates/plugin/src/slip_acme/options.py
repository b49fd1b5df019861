"""The settings of topics and caches in acme.

slipcore validates what slip.toml, the environment and code say against these classes. The string
under a field is its help in `slip backends` and in the documentation.
"""

from __future__ import annotations

from typing import ClassVar

from slipcore.interfaces import StateOptions, TopicOptions


class AcmeTopicOptions(TopicOptions, kw_only=True, forbid_unknown_fields=True):
    """The settings of a topic: those that every topic has, and those of acme."""

    # In memory nothing outlives the process: take this line out when your server keeps it.
    outlives_process: ClassVar[bool] = False

    # A field without a default has to be given. A password is a `Secret`: it is never printed.
    partitions: int | None = None
    """How many partitions the topic is created with; None: 1, or what it has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.partitions is not None and self.partitions < 1:
            raise ValueError(f"partitions is at least 1, not {self.partitions}")


class AcmeCacheOptions(StateOptions, kw_only=True, forbid_unknown_fields=True):
    """The settings of a cache: none yet."""

    # As above.
    outlives_process: ClassVar[bool] = False
    # All caches of an app are spaces of one store, so that they are written together.
    one_store: ClassVar[bool] = True
