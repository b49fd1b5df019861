"""What a schema registry says no with, and what is in the way of asking it: a sentence each."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from slipcore.interfaces import ConnectError

NOT_THERE: Final = (40401, 40402, 40403)
"""Error codes of a subject, version or schema that does not exist."""


class RegistryError(Exception):
    """The registry says no.

    Attributes:
        status: of HTTP.
        code: the registry's own.
        said: its words.
    """

    def __init__(self, message: str, status: int, code: int, said: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.said = said


class NoAnswerError(Exception):
    """There was no answer, and may be one later."""


def refusal(url: str, path: str, status: int, found: Any) -> RegistryError | ConnectError:
    """The error for an answer that is not what was asked for.

    Args:
        found: the JSON of the answer; None: it is none.
    """
    who = f"The schema registry {url}"
    if status == HTTPStatus.UNAUTHORIZED:
        return ConnectError(
            f"{who} refuses the credentials, or asks for some (401): set username and password, or "
            "token."
        )
    if status == HTTPStatus.FORBIDDEN:
        return ConnectError(
            f"{who} does not allow this (403, {path}): have the user given the right, or use "
            "another one."
        )
    if not isinstance(found, dict) or "error_code" not in found:
        return ConnectError(
            f"{url} answers {status} to {path}, and not as a schema registry does: see that "
            "registry= is its URL."
        )
    said = str(found.get("message", "")).rstrip(".")
    message = f"{who} refuses {path} ({status}): {said}."
    return RegistryError(message, status, found["error_code"], said)


def no_answer(url: str, error: Exception) -> NoAnswerError | ConnectError:
    """The error for a question without answer; a ConnectError: to ask again is of no use."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConnectError(
            f"The certificate of the schema registry {url} is not trusted "
            f"({error.certificate_error}): set ca_file to who signed it."
        )
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(error.__cause__, ssl.SSLError):
        return ConnectError(
            f"No TLS with the schema registry {url} ({error}): write http:// if it takes none."
        )
    if isinstance(error, TimeoutError):
        return NoAnswerError("it does not answer")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError):
        return NoAnswerError(f"it does not speak HTTP ({error}); one that takes TLS needs https://")
    return NoAnswerError(str(error) or type(error).__name__)
