"""Every error that slipcore raises, as one tree.

SlipError
├── ConfigError                 a setting, a name or a binding is wrong; nothing was started
│   └── UnknownBackendError     a backend name that no plugin registered
├── PluginError                 a plugin could not be used
│   ├── PluginLoadError         a plugin failed to load (raised only where plugins are strict)
│   ├── BackendConflictError    two plugins registered the name that was asked for
│   └── MissingDependencyError  a backend's own library is not installed
├── ConnectError                a server or file could not be reached or opened
├── CodecError
│   ├── EncodeError             a value that its codec can't write
│   └── DecodeError             bytes that their codec can't read
│       └── UnpreparedError     what they name has to be fetched first
├── SourceError                 a source failed while it was read, or was asked what it can't do
├── SinkError                   outputs that did not become durable
├── StateError                  state that could not be read or written
│   ├── StateInUseError         another owner holds the state
│   ├── StateFormatError        state of another backend, or of a newer format
│   ├── FencedError             the state has a newer owner; this one must stop
│   └── DeadlockError           transactions that wait for each other
└── DeadlineError               unfinished work was left when a deadline passed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipcore.records import Out


class SlipError(Exception):
    """The base of all errors of slipcore: one sentence that names the thing and the way out."""


class ConfigError(SlipError, ValueError):
    """A setting, a name or a binding is wrong. Nothing was started."""


class UnknownBackendError(ConfigError, LookupError):
    """A backend name that no plugin registered."""


class PluginError(SlipError):
    """A plugin could not be used."""


class PluginLoadError(PluginError):
    """A plugin failed to load, where plugins are strict."""


class BackendConflictError(PluginError):
    """Two plugins registered the name that was asked for."""


class MissingDependencyError(PluginError, ImportError):
    """A backend's own library is not installed."""


class ConnectError(SlipError, ConnectionError):
    """A server or a file could not be reached or opened."""


class CodecError(SlipError):
    """A value and its bytes do not fit."""


class EncodeError(CodecError, TypeError):
    """A value that its codec can't write."""


class DecodeError(CodecError, ValueError):
    """Bytes that their codec can't read.

    Attributes:
        topic, partition, offset: where the record stands, once that is known.
    """

    def __init__(
        self,
        message: str,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition
        self.offset = offset


class UnpreparedError(DecodeError):
    """Bytes that name what their codec has to fetch first; the core has it fetch that."""


class SourceError(SlipError):
    """A source failed while it was read, or was asked for what it can't do."""


class SinkError(SlipError):
    """Outputs that did not become durable.

    Attributes:
        outputs: the outputs in the order in which they were handed over; sending them again is the
            way to repeat a failed flush.
    """

    def __init__(self, message: str, outputs: Sequence[Out] = ()) -> None:
        super().__init__(message)
        self.outputs = tuple(outputs)


class StateError(SlipError):
    """State that could not be read or written."""


class StateInUseError(StateError):
    """Another owner, a process or an object of this one, holds the state."""


class StateFormatError(StateError):
    """State of another backend, of a newer format, or of another program."""


class FencedError(StateError):
    """The state has a newer owner. What this one had not written is discarded."""


class DeadlockError(StateError):
    """Transactions that wait for each other; the last to ask is refused."""


class DeadlineError(SlipError, TimeoutError):
    """Unfinished work was left when a deadline passed."""
