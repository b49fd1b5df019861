"""The memory backend: topics, state and checkpoints that live as long as their app.

It keeps the same contracts as the backends that outlive a process, groups and rebalances
included, so that what was tried on it holds elsewhere.
"""

from slipcore.backends.memory.state import (
    MemoryCheckpointOptions,
    MemoryStateOptions,
    open_checkpoint_store,
    open_state_store,
)
from slipcore.backends.memory.topic import MemoryTopic, MemoryTopicOptions

__all__ = [
    "MemoryCheckpointOptions",
    "MemoryStateOptions",
    "MemoryTopic",
    "MemoryTopicOptions",
    "open_checkpoint_store",
    "open_state_store",
]
