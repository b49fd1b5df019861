"""Which plugins are to be used, and who says so: the environment, else `[plugins]` of slip.toml."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from slipcore.errors import ConfigError
from slipcore.plugins.known import install_command
from slipcore.settings import ENVIRONMENT, Setting, hint

STRICT: Final = "strict"
ALLOW: Final = "allow"
DISABLE: Final = "disable"

VARIABLES: Final[Mapping[str, str]] = {
    STRICT: "SLIP_STRICT_PLUGINS",
    ALLOW: "SLIP_PLUGINS",
    DISABLE: "SLIP_DISABLE_PLUGINS",
}
"""The environment variable of each setting of `[plugins]`."""

EVERY: Final = "*"

_TRUTHS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("", "0", "false", "no", "off"), False),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which plugins are to be used.

    Attributes:
        allow: the only ones to use, by the name of plugin or distribution or both with a colon;
            None: all, empty: none.
        disable: those not to use; "*": none is used.
        strict: one that fails is an error.
        origins: where each of the three was written.
    """

    allow: frozenset[str] | None
    disable: frozenset[str]
    strict: bool
    origins: Mapping[str, str]

    @classmethod
    def of(cls, settings: Mapping[str, Setting]) -> Selection:
        """What the settings of `[plugins]` say, where they say something."""
        values: dict[str, Any] = {key: setting.value for key, setting in settings.items()}
        allow = values.get(ALLOW)
        return cls(
            None if allow is None else frozenset(map(canonical, allow)),
            frozenset(map(canonical, values.get(DISABLE, ()))),
            values.get(STRICT, False),
            {key: it.origin.removeprefix(ENVIRONMENT) for key, it in settings.items()},
        )

    def against(self, names: Collection[str]) -> str | None:
        """Why a plugin of these names is not to be used; None: it is."""
        if not self.disable and self.allow is None:
            return None
        called = set(map(canonical, names))
        if EVERY in self.disable or called & self.disable:
            return f"it is among those not to be used ({self.origins[DISABLE]})"
        if self.allow is not None and not called & self.allow:
            return f"it is not among those to be used ({self.origins[ALLOW]})"
        return None

    def check(self, installed: Iterable[str]) -> None:
        """Check that all that is allowed by name is installed.

        Raises:
            ConfigError: one is not, and so may be missing without a word.
        """
        if not self.allow:
            return
        names = set(map(canonical, installed))
        for name in sorted(self.allow - names):
            install = install_command(name)
            remedy = hint(name, (one for one in names if ":" not in one))
            raise ConfigError(
                f"{self.origins[ALLOW]} names the plugin '{name}', which is not installed"
                f"{f': {install}.' if install is not None else f'. {remedy}'}"
            )


def from_environment(environ: Mapping[str, str]) -> dict[str, Setting]:
    """The settings of `[plugins]` that the environment has: names with commas between, 1 or 0.

    Raises:
        ConfigError: SLIP_STRICT_PLUGINS is neither yes nor no.
    """
    settings: dict[str, Setting] = {}
    for key, variable in VARIABLES.items():
        text = environ.get(variable)
        if text is None:
            continue
        value: Any = [name.strip() for name in text.split(",") if name.strip()]
        if key == STRICT:
            value = _TRUTHS.get(text.strip().lower())
            if value is None:
                raise ConfigError(f"environment {variable}: it is to be 1 or 0, and not {text!r}.")
        settings[key] = Setting(value, ENVIRONMENT + variable)
    return settings


def check_setting(key: str, setting: Setting) -> None:
    """Check a setting of `[plugins]` in the file.

    Raises:
        ConfigError: it is not of its type.
    """
    value = setting.value
    if key == STRICT:
        if not isinstance(value, bool):
            raise ConfigError(
                f"{setting.origin}: strict is to be true or false, and not {value!r}."
            )
        return
    if not isinstance(value, list) or not all(isinstance(n, str) and n.strip() for n in value):
        raise ConfigError(
            f"{setting.origin}: {key} is to be a list of names of plugins or distributions, "
            f'e.g. ["slip-kafka"], and not {value!r}.'
        )


def canonical(name: str) -> str:
    """A name as it is compared: `Slip_Kafka` is `slip-kafka`."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
