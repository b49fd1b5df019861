"""Reaching a cluster: waiting for one that is not there yet, and finding out why it refuses."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, Final

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from slip_kafka.failures import quieten, reason_of
from slip_kafka.settings import KafkaConnection, client_arguments
from slipcore.interfaces import ConnectError

logger = logging.getLogger(__name__)

SAY_SECONDS: Final = 5.0
"""Between two warnings that a cluster is still waited for."""

RETRY_SECONDS: Final = 0.25
"""Between two calls at addresses where nobody answered."""

CALL_SECONDS: Final = 10.0
"""How long one call may take: a host that is not there may not even refuse it."""

CLOSE_SECONDS: Final = 1.0
"""How long a connection may take to be gone."""

_TLS_ALERT: Final = 0x1503
"""The first two bytes of a TLS alert, https://www.rfc-editor.org/rfc/rfc8446#section-5.1."""


class _RefusalError(Exception):
    """An answer that will be the same however often one asks."""


async def reach(options: KafkaConnection, patience: float | None = None) -> None:
    """Wait until a broker answers as it would a client of these settings.

    Args:
        patience: seconds; None: `connect_timeout`.

    Raises:
        ConnectError: none answered in time, or one refused what was asked.
        ConfigError: a certificate can't be used.
    """
    quieten()
    arguments = client_arguments(options)
    patience = options.connect_timeout if patience is None else patience
    where = ", ".join(options.addresses)
    began = said = monotonic()
    while True:
        reason = await _call(arguments, began + patience)
        now = monotonic()
        if reason is None:
            return
        if now - began + RETRY_SECONDS >= patience:
            raise ConnectError(
                f"no Kafka answers at {where} within {patience:g} s: {reason}; see that it is "
                "there, or correct bootstrap_servers"
            )
        if now - said >= SAY_SECONDS:
            logger.warning("Kafka at %s does not answer, waiting for it: %s.", where, reason)
            said = now
        await asyncio.sleep(RETRY_SECONDS)


async def _call(arguments: Mapping[str, Any], deadline: float) -> str | None:
    """Call one address after the other; None: one answered, else why the last did not."""
    reason = "it has no address"
    for host, port, _ in collect_hosts(arguments["bootstrap_servers"]):
        allowed = max(0.1, min(CALL_SECONDS, deadline - monotonic()))
        try:
            async with asyncio.timeout(allowed):
                await _ask(host, port, arguments)
            return None
        except _RefusalError as refusal:
            raise ConnectError(f"Kafka at {host}:{port} can't be used: {refusal}") from refusal
        except socket.gaierror as error:
            reason = f"the host {host} is not known ({error.strerror})"
        except TimeoutError:
            reason = "there was no answer"
        except (errors.KafkaError, OSError) as error:
            reason = _why_not(error)
    return reason


def _why_not(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, (errors.KafkaConnectionError, ConnectionError, ssl.SSLError)):
        return "the connection was closed"
    return (error.strerror or str(error)) if isinstance(error, OSError) else reason_of(error)


async def _ask(host: str, port: int, arguments: Mapping[str, Any]) -> None:
    """Sign on and ask for the cluster's brokers."""
    try:
        async with _connection(host, port, arguments) as connection:
            await connection.send(MetadataRequest([]))
    except ssl.SSLCertVerificationError as error:
        raise _RefusalError(
            f"its certificate is not trusted: {error.verify_message}; set ssl_cafile to the "
            "authority that has signed it"
        ) from error
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            raise _RefusalError(
                f"it refuses this client's certificate ({error.reason}): see ssl_certfile and "
                "ssl_keyfile"
            ) from error
        await _look_for_plain(host, port, arguments)
        raise
    except errors.SaslAuthenticationFailed as error:
        raise _RefusalError(
            f'it refuses the credentials of "{arguments["sasl_plain_username"]}": correct '
            "sasl_plain_username, sasl_plain_password or sasl_mechanism"
        ) from error
    except errors.UnsupportedSaslMechanismError as error:
        known = await _mechanisms(host, port, arguments)
        raise _RefusalError(
            f"it does not have the sasl_mechanism {arguments['sasl_mechanism']}: set it to "
            f"{' or '.join(known) or 'one that the broker has'}"
        ) from error
    except errors.IllegalSaslStateError as error:
        without = arguments["security_protocol"].removeprefix("SASL_")
        raise _RefusalError(
            f"it asks for no credentials: set security_protocol to {without}, or name its port for "
            "SASL"
        ) from error
    except (errors.KafkaConnectionError, ConnectionError) as error:
        await _look_for_mistake(host, port, arguments, error)
        raise


async def _look_for_mistake(
    host: str, port: int, arguments: Mapping[str, Any], error: BaseException
) -> None:
    """What may make a broker hang up, apart from going down."""
    protocol = arguments["security_protocol"]
    if protocol.endswith("SSL"):
        await _look_for_plain(host, port, arguments)
    cause = error.__cause__
    if isinstance(cause, asyncio.IncompleteReadError) and (cause.expected or 0) >> 16 == _TLS_ALERT:
        raise _RefusalError(
            f"it speaks TLS: set security_protocol to {protocol.replace('PLAINTEXT', 'SSL')}"
        )
    if not protocol.startswith("SASL_"):
        known = await _mechanisms(host, port, arguments)
        if known:
            raise _RefusalError(
                f"it asks for credentials: set security_protocol to SASL_{protocol}, and "
                f"sasl_mechanism to {' or '.join(known)}"
            )


async def _look_for_plain(host: str, port: int, arguments: Mapping[str, Any]) -> None:
    """A broker that answers without TLS will never do so with it."""
    bare = _without(arguments, "PLAINTEXT")
    with suppress(errors.KafkaError, OSError):
        async with _connection(host, port, bare):
            protocol = arguments["security_protocol"].replace("SSL", "PLAINTEXT")
            raise _RefusalError(f"it does not speak TLS: set security_protocol to {protocol}")


async def _mechanisms(host: str, port: int, arguments: Mapping[str, Any]) -> list[str]:
    """The SASL mechanisms of a broker that asks for one."""
    protocol = arguments["security_protocol"].removeprefix("SASL_")
    with suppress(errors.KafkaError, OSError):
        async with _connection(host, port, _without(arguments, protocol)) as connection:
            answer = await connection.send(SaslHandShakeRequest("?"))
            return sorted(answer.enabled_mechanisms)
    return []


def _without(arguments: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    """The same client without credentials."""
    kept = {name: value for name, value in arguments.items() if not name.startswith("sasl_")}
    return {**kept, "security_protocol": protocol}


@asynccontextmanager
async def _connection(
    host: str, port: int, arguments: Mapping[str, Any]
) -> AsyncIterator[AIOKafkaConnection]:
    kept = dict(arguments)
    for name in ("bootstrap_servers", "metadata_max_age_ms", "retry_backoff_ms"):
        del kept[name]
    kept["max_idle_ms"] = kept.pop("connections_max_idle_ms")
    connection = AIOKafkaConnection(host, port, **kept)
    try:
        await connection.connect()
        yield connection
    finally:
        connection.close()
        # A polite end of TLS would wait for a broker that may hang.
        transport = getattr(connection._protocol, "_transport", None)
        if transport is not None:
            transport.abort()
            await asyncio.wait((connection._closed_fut,), timeout=CLOSE_SECONDS)
