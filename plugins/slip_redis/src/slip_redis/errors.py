"""What the client and the server say, in sentences that name the way out."""

from __future__ import annotations

import re
import ssl

from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.sentinel import MasterNotFoundError

FAILURES = (RedisError, RedisClusterException)
"""Everything that a client's call may end with, for reasons of the server or the network."""


class WrongServerError(RedisError):
    """What listens there is not what the URL says; the text is the end of a sentence."""


_UNKNOWN = re.compile(r"(?:ERR )?unknown command [`'](\w+)[`']")
_NO_CLUSTER = "Cluster mode is not enabled"
_PASSING = (
    RedisConnectionError,
    RedisTimeoutError,
    ClusterDownError,
    TryAgainError,
    RedisClusterException,
)


def is_passing(error: BaseException, *, fails_over: bool = False) -> bool:
    """Whether the same may succeed a little later, without anybody changing a setting.

    Args:
        fails_over: whether another server takes the place of one that turned read-only.
    """
    if isinstance(error, AuthenticationError) or _tls(error) is not None:
        return False
    if _NO_CLUSTER in str(error):
        return False
    if isinstance(error, ReadOnlyError) or "READONLY" in str(error):
        return fails_over
    return isinstance(error, _PASSING)


def reason(error: BaseException) -> str:
    """Why a call failed, and what to do: the end of a sentence."""
    said = str(error)
    tls = _tls(error)
    if tls is not None:
        return _tls_reason(tls)
    other = _other_kind(error)
    if other is not None:
        return other
    if isinstance(error, AuthenticationError) or "NOAUTH" in said:
        return "it refuses the user name or the password; set username and password right"
    if isinstance(error, NoPermissionError) or "NOPERM" in said:
        return "the user has no right to do so; grant it in the server's access control list"
    if "READONLY" in said or isinstance(error, ReadOnlyError):
        return "it is a replica that takes no writes; name its master, or a sentinel, in url"
    if "OOM" in said:
        return "it has reached its maxmemory; raise that, or have fewer records and values kept"
    if "WRONGTYPE" in said:
        return "another program uses a key of this name; choose another name, or another database"
    if "DB index is out of range" in said:
        return "it has no database of this number; set the one at the end of url right"
    if "MISCONF" in said:
        return "it can't save to its disk and takes no writes; see the server's log"
    if isinstance(error, RedisTimeoutError):
        return "it does not answer in time; see whether it runs and is not overloaded"
    if isinstance(error, RedisClusterException | ClusterDownError):
        return f"the cluster is not complete ({said}); see whether its masters run"
    if isinstance(error, RedisConnectionError):
        return f"it can't be reached ({said or type(error).__name__}); start it, or set url right"
    return said


def _other_kind(error: BaseException) -> str | None:
    """Why a server that answers is not the one to ask; None: it may be."""
    said = str(error)
    if _NO_CLUSTER in said:
        return "it is a single server and no cluster; write redis:// for redis+cluster:// in url"
    if isinstance(error, InvalidResponse):
        return "it is no Redis; set the host and the port in url right"
    if isinstance(error, MovedError | AskError):
        return "it is a node of a cluster; write redis+cluster:// for redis:// in url"
    if isinstance(error, MasterNotFoundError | AsyncMasterNotFoundError):
        if "network:" in said:
            return "no sentinel can be reached; start one, or set url right"
        return (
            "the sentinels know no master of this name that runs; set its name in url right, or "
            "start it"
        )
    unknown = _UNKNOWN.match(said)
    if unknown is None:
        return None
    if unknown[1].upper() == "SENTINEL":
        return (
            "it is a server and no sentinel; write redis:// for redis+sentinel:// and leave the "
            "master's name out, or name a sentinel's port, by default 26379"
        )
    return (
        f"it does not know the command {unknown[1]}; name a server of Redis 6.2 or newer, and for "
        f"a sentinel write redis+sentinel://host:26379/mymaster in url"
    )


def _tls(error: BaseException) -> ssl.SSLError | None:
    """The failure of TLS that is behind an error; an end without one is no failure of TLS."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            ended = isinstance(seen, ssl.SSLEOFError | ssl.SSLZeroReturnError)
            return None if ended else seen
        seen = seen.__cause__ or seen.__context__
    return None


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); name the authority's in "
            f"ssl_ca_certs"
        )
    if error.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS there; write redis:// in url, or name its TLS port"
    return f"TLS fails ({error.reason}); see ssl_ca_certs, ssl_certfile and ssl_keyfile"
