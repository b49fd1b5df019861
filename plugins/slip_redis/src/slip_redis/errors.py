"""What the client and the server say, in sentences that name the way out."""

from __future__ import annotations

import ssl

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
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

FAILURES = (RedisError, RedisClusterException)
"""Everything that a client's call may end with, for reasons of the server or the network."""

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
    if isinstance(error, ReadOnlyError) or "READONLY" in str(error):
        return fails_over
    return isinstance(error, _PASSING)


def reason(error: BaseException) -> str:
    """Why a call failed, and what to do: the end of a sentence."""
    said = str(error)
    tls = _tls(error)
    if tls is not None:
        return _tls_reason(tls)
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
    if "MISCONF" in said:
        return "it can't save to its disk and takes no writes; see the server's log"
    if isinstance(error, RedisTimeoutError):
        # A Redis without TLS waits for the rest of what it takes for a command.
        return (
            "it does not answer in time; see whether it runs, is not overloaded, and speaks TLS if "
            "url says rediss://"
        )
    if isinstance(error, RedisClusterException | ClusterDownError):
        return f"the cluster is not complete ({said}); see whether its masters run"
    if isinstance(error, RedisConnectionError):
        return (
            f"it can't be reached ({said or type(error).__name__}); start it, set url right, or "
            f"write rediss:// if it expects TLS"
        )
    return said


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
