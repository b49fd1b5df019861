"""Configurations from the text of slip.toml and variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from slipcore.config import Config, Setting
from slipcore.interfaces import ConfigError

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A configuration from the text of slip.toml and variables."""

    def make(text: str | None = None, /, **environ: str) -> Config:
        if text is not None:
            (tmp_path / "slip.toml").write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return Config.load(cwd=tmp_path, environ=environ)

    return make


def refusal(load: Load, text: str | None = None, **environ: str) -> str:
    with pytest.raises(ConfigError) as info:
        load(text, **environ)
    return str(info.value)


def code(**values: Any) -> dict[str, Setting]:
    return {key: Setting(value, "code") for key, value in values.items()}
