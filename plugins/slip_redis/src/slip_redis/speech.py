"""Whether a server speaks TLS: one that is waited for in vain may speak the other way."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from slip_redis.errors import WrongServerError

_ANSWER_SECONDS: Final = 1.0


def agrees(host: str, port: int, *, tls: bool) -> bool:
    """Whether what listens there speaks TLS, or does not, as it should; False: it says nothing.

    Raises:
        WrongServerError: it is the other way round.
    """
    if tls:
        if _speaks_tls(host, port):
            return True
        if _speaks_plainly(host, port):
            raise WrongServerError(
                "it does not speak TLS there; write redis for rediss in url, or name its TLS port"
            )
        return False
    if _speaks_plainly(host, port):
        return True
    if _speaks_tls(host, port):
        raise WrongServerError("it speaks TLS; write rediss for redis in url")
    return False


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is said to it; the client looks at who it is
    try:
        with (
            socket.create_connection((host, port), _ANSWER_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _speaks_plainly(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), _ANSWER_SECONDS) as plain:
            plain.sendall(b"PING\r\n")
            return plain.recv(1) in (b"+", b"-")  # also where it wants a password first
    except OSError:
        return False
