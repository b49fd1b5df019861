"""Secrets are shown to nobody: masked by name, by type, and within URLs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipcore.config import mask
from slipcore.interfaces import Secret, TopicOptions

from .conftest import code


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "sasl_plain_password",
        "SASL.Password",
        "client_secret",
        "auth_token",
        "api_key",
        "ssl.key.pem",
        "ssl_keyfile_password",
        "passphrase",
        "credentials",
    ],
)
def test_secrets_are_masked_by_name(name: str) -> None:
    """Passwords, secrets, tokens and keys are three stars."""
    assert mask(code(**{name: "hunter2"})) == {name: "***"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ssl_keyfile", "client.pem"),
        ("key_codec", "text"),
        ("group_id", "shop"),
        ("partitions", 3),
        ("password", None),
    ],
)
def test_what_is_no_secret_is_shown(name: str, value: Any) -> None:
    """Files of keys, codecs of keys, and a password that is not set are no secrets."""
    assert mask(code(**{name: value})) == {name: value}


class Options(TopicOptions, kw_only=True):
    """One setting whose name does not say that it is secret, and one that is not."""

    partitions: int | None = None
    pin: Secret | None = None


def test_secrets_are_masked_by_type() -> None:
    """A `Secret`, and what an options class declares as one, whatever they are called."""
    assert mask(code(pin=Secret("1234"))) == {"pin": "***"}
    assert mask(code(pin="1234", partitions=3), Options) == {"pin": "***", "partitions": 3}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:hunter2@host", "redis://:***@host"),
        ("redis://:hun@ter/2@host", "redis://:***@host"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("http://h/?user=u&api_key=hunter2&x=1", "http://h/?user=u&api_key=***&x=1"),
        ("http://h/?x=1&Password=hunter2", "http://h/?x=1&Password=***"),
    ],
)
def test_passwords_within_urls_are_masked(url: str, shown: str) -> None:
    """The rest of the address stays readable."""
    assert mask(code(url=url)) == {"url": shown}


def test_masking_goes_into_tables_and_lists() -> None:
    """Settings within settings are masked alike."""
    settings = code(
        options={"password": "x", "size": 1}, servers=["redis://:x@a", "b"], passwords=["x"]
    )
    assert mask(settings) == {
        "options": {"password": "***", "size": 1},
        "servers": ["redis://:***@a", "b"],
        "passwords": "***",
    }


@given(
    st.text(st.characters(exclude_characters="*"), min_size=4).filter(lambda s: s.split() == [s])
)
def test_no_password_of_a_url_survives(password: str) -> None:
    """Whatever it is made of, as long as no white space parts it."""
    shown = mask(code(url=f"redis://user:{password}@host/0"))["url"]
    assert shown == "redis://user:***@host/0"
