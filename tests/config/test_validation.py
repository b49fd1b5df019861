"""Settings as a backend's options ask for them, and what is said of a wrong one."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from traceback import format_exception
from typing import Annotated, Any, Literal

import msgspec
import pytest

from slipcore.config import Setting, validate
from slipcore.interfaces import ConfigError, Secret, TopicOptions

from .conftest import code


class Inner(msgspec.Struct):
    """A table within the settings."""

    size: int


class Options(TopicOptions, kw_only=True, forbid_unknown_fields=True):
    """Settings of every shape."""

    partitions: int | None = None
    ratio: float = 1.0
    fast: bool = False
    mode: Literal["a", "b"] = "a"
    password: str | None = None
    auth_token: Literal["none"] = "none"
    pin: Secret | None = None
    directory: Path | None = None
    servers: list[str] = msgspec.field(default_factory=list)
    inner: Inner | None = None
    context: ssl.SSLContext | None = None
    at_least: Annotated[int, msgspec.Meta(ge=5)] = 5
    renamed: str = msgspec.field(default="", name="other-name")


@dataclass(frozen=True)
class PlainOptions:
    """Settings as a dataclass."""

    url: str
    token: Secret
    retries: int = 3
    tags: list[str] = field(default_factory=list)


def of_file(**values: Any) -> dict[str, Setting]:
    return {key: Setting(value, "slip.toml:7") for key, value in values.items()}


def of_environment(**values: str) -> dict[str, Setting]:
    return {key: Setting(value, "environment SLIP_X") for key, value in values.items()}


def wrong(settings: Mapping[str, Setting], options: type | None = Options) -> str:
    with pytest.raises(ConfigError) as info:
        validate(options, settings, "topic 'emoji'")
    return str(info.value)


def test_values_of_the_environment_are_read_as_what_is_expected() -> None:
    """Text becomes numbers, booleans, paths and secrets; lists and tables are JSON."""
    options = validate(
        Options,
        of_environment(
            partitions="3",
            ratio="0.5",
            fast="true",
            mode="b",
            group_id="7",
            pin="1234",
            directory="a/b",
            servers='["x", "y"]',
            inner='{"size": 3}',
        ),
        "topic 'emoji'",
    )
    assert options == Options(
        partitions=3,
        ratio=0.5,
        fast=True,
        mode="b",
        group_id="7",
        pin=Secret("1234"),
        directory=Path("a/b"),
        servers=["x", "y"],
        inner=Inner(3),
    )


def test_values_of_file_and_code_are_taken_as_they_are() -> None:
    """Numbers stay numbers, tables become their type, and objects pass by type."""
    context = ssl.create_default_context()
    options = validate(
        Options,
        of_file(partitions=3, ratio=2, inner={"size": 3}, directory="a", **{"other-name": "x"})
        | code(context=context, pin=Secret("1")),
        "topic 'emoji'",
    )
    assert (options.partitions, options.ratio, options.inner) == (3, 2.0, Inner(3))
    assert (options.directory, options.renamed) == (Path("a"), "x")
    assert options.context is context
    assert options.pin == Secret("1")


def test_a_dataclass_is_an_options_class_too() -> None:
    """With its defaults, its secrets and its requirements."""
    options = validate(
        PlainOptions, of_file(url="http://x", token="t") | of_environment(retries="5"), "cache 'c'"
    )
    assert options == PlainOptions("http://x", Secret("t"), 5, [])
    assert wrong(of_file(url="http://x"), PlainOptions) == (
        "topic 'emoji' needs the setting 'token' (str): give it in code, in slip.toml or in the "
        "environment."
    )


def test_a_backend_without_settings() -> None:
    """It takes none, and says so."""
    assert validate(None, {}, "cache 'c'") is None
    assert wrong(of_file(size=3), None) == (
        "topic 'emoji' has no setting 'size' (slip.toml:7). It takes none."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            of_file(partitons=3),
            "topic 'emoji' has no setting 'partitons' (slip.toml:7). Did you mean 'partitions'?",
        ),
        (
            of_file(zzz=3),
            "topic 'emoji' has no setting 'zzz' (slip.toml:7). It takes at_least, auth_token, "
            "auto_offset_reset, context, directory, fast, group_id, group_instance_id, inner, "
            "mode, other-name, partitions, password, pin, ratio, servers.",
        ),
        (
            of_file(partitions="3"),
            "topic 'emoji': 'partitions' is to be int | None, and slip.toml:7 says '3': Expected "
            "`int | null`, got `str`.",
        ),
        (
            of_environment(partitions="three"),
            "topic 'emoji': 'partitions' is to be int | None, and environment SLIP_X says 'three': "
            "Expected `int | null`, got `str`.",
        ),
        (
            of_environment(servers="[x"),
            "topic 'emoji': 'servers' is to be list[str], and environment SLIP_X says '[x': "
            "Expected `array`, got `str`.",
        ),
        (
            code(mode="c"),
            "topic 'emoji': 'mode' is to be 'a' | 'b', and code says 'c': Invalid enum value 'c'.",
        ),
        (
            code(at_least=3),
            "topic 'emoji': 'at_least' is to be int, and code says 3: Expected `int` >= 5.",
        ),
        (
            code(context=3),
            "topic 'emoji': 'context' is to be SSLContext | None, and code says 3: Expected "
            "`SSLContext`, got `int`.",
        ),
        (
            of_file(inner={"size": "x"}),
            "topic 'emoji': 'inner' is to be Inner | None, and slip.toml:7 says {'size': 'x'}: "
            "Expected `int`, got `str` - at `$.size`.",
        ),
        (
            of_file(auto_offset_reset="middle"),
            'topic \'emoji\' is not set right: auto_offset_reset is "earliest" or "latest", not '
            '"middle" (slip.toml:7).',
        ),
    ],
)
def test_a_wrong_setting(settings: Mapping[str, Setting], message: str) -> None:
    """It is named with resource, place and expected type, or with the nearest right name."""
    assert wrong(settings) == message


@pytest.mark.parametrize(
    "settings",
    [
        code(password=["hunter2"]),
        code(auth_token="hunter2"),
        of_file(pin=["hunter2"]),
        code(partitions="redis://:hunter2@host"),
        of_file(inner={"password": "hunter2", "size": "x"}),
    ],
)
def test_a_wrong_secret_is_not_shown(settings: Mapping[str, Setting]) -> None:
    """Neither the message of a mistyped secret nor its traceback has the value."""
    with pytest.raises(ConfigError) as info:
        validate(Options, settings, "topic 'emoji'")
    assert "***" in str(info.value)
    assert "hunter2" not in "".join(format_exception(info.value))
