"""What the client says of a failure, as one sentence of slipcore's, and what it logs of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Final

from aiokafka import errors

from slipcore.interfaces import ConnectError, SlipError

QUIET_SECONDS: Final = 30.0
"""How long the client does not repeat a complaint."""

_UNREACHABLE: Final = (
    errors.KafkaConnectionError,
    errors.NoBrokersAvailable,
    errors.NodeNotReadyError,
    errors.KafkaTimeoutError,
    errors.RequestTimedOutError,
    errors.BrokerNotAvailableError,
    errors.GroupCoordinatorNotAvailableError,
)
_OF_CLIENT: Final = (errors.KafkaError, errors.ConsumerStoppedError, errors.IllegalOperation)

_REASONS: Final[Mapping[type[Exception], str]] = {
    errors.KafkaConnectionError: "no broker answers; see that the cluster is there",
    errors.NodeNotReadyError: "its broker does not answer; see that the cluster is there",
    errors.RequestTimedOutError: "there was no answer in time; see that the cluster is there",
    errors.KafkaTimeoutError: "there was no answer in time; see that the cluster is there",
    errors.GroupCoordinatorNotAvailableError: "the group's coordinator is not there; see that "
    "enough brokers are up",
    errors.UnknownTopicOrPartitionError: "there is no such topic or partition; see whether it was "
    "deleted",
    errors.NotLeaderForPartitionError: "the broker that was asked is not the leader any more",
    errors.LeaderNotAvailableError: "a partition has no leader; see that enough brokers are up",
    errors.NotEnoughReplicasError: "too few replicas are in sync; see that enough brokers are up, "
    "or lower min.insync.replicas of the topic",
    errors.NotEnoughReplicasAfterAppendError: "too few replicas are in sync; see that enough "
    "brokers are up, or lower min.insync.replicas of the topic",
    errors.OffsetOutOfRangeError: "the offset has been deleted, or was never written",
    errors.MessageSizeTooLargeError: "the broker takes no batch of this size; lower "
    "max_batch_size, or raise max.message.bytes of the topic",
    errors.RecordListTooLargeError: "the broker takes no batch of this size; lower "
    "max_batch_size, or raise segment.bytes of the topic",
    errors.TopicAuthorizationFailedError: "this user has no right to do that with the topic; see "
    "its ACLs",
    errors.GroupAuthorizationFailedError: "this user has no right to the group; see its ACLs",
    errors.ClusterAuthorizationFailedError: "this user has no right to do that in the cluster; "
    "see its ACLs",
    errors.OutOfOrderSequenceNumber: "the broker misses a batch that came before",
    errors.UnknownProducerId: "the broker does not know this producer any more",
    errors.InvalidProducerEpoch: "another producer has taken the place of this one",
    errors.ProducerFenced: "another producer has taken the place of this one",
    errors.InvalidTopicError: "this is no name for a topic: letters, digits, '.', '_' and '-', 249 "
    "at the most",
    errors.InvalidSessionTimeoutError: "the broker does not allow this session_timeout_ms; see its "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    errors.InconsistentGroupProtocolError: "the group's members share partitions in another way; "
    "set partition_assignment_strategy as they do",
    errors.UnsupportedCodecError: "its compression is not known here; pip install cramjam",
    errors.UnknownError: "the broker refuses them for a reason that the client does not know, such "
    "as outputs without a key for a compacted topic; see its log",
    errors.InvalidTimestampError: "the broker does not take their timestamps, in ms since 1970; "
    "see message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic",
    errors.CorruptRecordException: "the checksum of a record is wrong: it is damaged on disk or on "
    "its way",
}


def reason_of(error: BaseException) -> str:
    """Why the client failed, as part of a sentence, with what to do."""
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    said = ", ".join(map(str, error.args)) or getattr(error, "message", "")
    return said or type(error).__name__


@contextmanager
def translated(kind: type[SlipError], doing: str) -> Iterator[None]:
    """Make the client's errors into one of slipcore, with the client's as its cause.

    Args:
        kind: what is raised; where nobody answered it is a ConnectError.
        doing: what follows "can't".
    """
    try:
        yield
    except _OF_CLIENT as error:
        chosen = ConnectError if isinstance(error, _UNREACHABLE) else kind
        raise chosen(f"can't {doing}: {reason_of(error)}") from error


class _Once(logging.Filter):
    """Lets a complaint through once in a while: the client repeats it with every try."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        complaint, now = (record.name, str(record.msg)), monotonic()
        if now < self._quiet_until.get(complaint, 0.0):
            return False
        self._quiet_until[complaint] = now + QUIET_SECONDS
        return True


class _WithoutCredentials(logging.Filter):
    """Masks what signs on: at DEBUG the client logs each request with all that it says."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and any(map(_signs_on, record.args)):
            record.args = tuple("***" if _signs_on(arg) else arg for arg in record.args)
        return True


def _signs_on(arg: object) -> bool:
    return type(arg).__name__.startswith("SaslAuthenticate")


_FILTERS: Final = (_Once(), _WithoutCredentials())


def quieten() -> None:
    """Keep the client from logging credentials, and the same complaint again and again."""
    # A logger's filter does not see what its children log.
    for name in list(logging.root.manager.loggerDict):
        if name == "aiokafka" or name.startswith("aiokafka."):
            for each in _FILTERS:
                logging.getLogger(name).addFilter(each)
