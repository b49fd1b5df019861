"""Small real distributions, each with a plugin: some work, each of the others fails its own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.2"
requires-python = ">=3.11"
dependencies = {requires}

[project.entry-points.slipcore]
{plugin} = "{value}"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

WORKS = """
    from slipcore import hookimpl

    @hookimpl
    def register_codecs(register):
        register("{codec}", "{package}.codec:Codec", summary="for tests")
"""

CODEC = """
    from slipcore.interfaces import ICodec

    class Codec(ICodec):
        def __init__(self, options, type):
            pass

        def encode(self, obj):
            return b"{package} %d" % obj

        def decode(self, s):
            return int(s.split()[1])
"""


@dataclass(frozen=True)
class Dist:
    """One distribution.

    Attributes:
        name: of the distribution; the package's is the same with `_`.
        plugin: the name of its entry point.
        source: its light module, plugin.py.
        codec: what it registers, or what one asks for to find out why it is not there.
        value: of its entry point; None: that module.
        files: further modules of its package.
        reason: why it fails; None: it does not.
        using: what using its codec says, without the list of what there is; None: that it failed.
    """

    name: str
    plugin: str
    source: str = WORKS
    codec: str = ""
    value: str | None = None
    files: dict[str, str] = field(default_factory=lambda: {"codec.py": CODEC})
    requires: tuple[str, ...] = ("slipcore>=0.1,<1",)
    reason: str | None = None
    using: str | None = None

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    @property
    def owner(self) -> str:
        return f"{self.name}:{self.plugin}"

    @property
    def asked(self) -> str:
        return self.codec or self.plugin

    def write(self, folder: Path) -> Path:
        """Write it as its author would have, and say where."""
        root = folder / self.name
        package = root / self.package
        package.mkdir(parents=True)
        project = PROJECT.format(
            name=self.name,
            requires=list(self.requires),
            plugin=self.plugin,
            value=self.value or f"{self.package}.plugin",
            package=self.package,
        )
        (root / "pyproject.toml").write_text(project)
        (package / "__init__.py").write_text("")
        for name, text in {"plugin.py": self.source, **self.files}.items():
            text = dedent(text).replace("{package}", self.package).replace("{codec}", self.asked)
            (package / name).write_text(text)
        return root


FIRST = Dist("slip-alpha", "alpha")
LAST = Dist("slip-zeta", "zeta")

FAILING = (
    Dist(
        "slip-raising",
        "raising",
        "raise RuntimeError('half built')",
        reason="importing slip_raising.plugin raised RuntimeError: half built",
    ),
    Dist(
        "slip-hooked",
        "hooked",
        WORKS
        + """
    @hookimpl
    def register_sinks(register):
        raise KeyError("later")
""",
        codec="caught",
        reason="its hook register_sinks raised KeyError: 'later'",
    ),
    Dist(
        "slip-misspelt",
        "misspelt",
        WORKS.replace("register_codecs", "register_codec"),
        reason="there is no hook register_codec, did you mean register_codecs",
    ),
    Dist(
        "slip-unmarked",
        "unmarked",
        WORKS.replace("@hookimpl", ""),
        reason="its function register_codecs is not marked with @hookimpl",
    ),
    Dist(
        "slip-asking",
        "asking",
        WORKS.replace("(register)", "(register, loop)"),
        reason="its hook register_codecs asks for loop, and is given register",
    ),
    Dist(
        "slip-twice",
        "twice",
        WORKS + '        register("{codec}", "{package}.codec:Codec")\n',
        codec="doubled",
        reason="the codec backend 'doubled' is registered twice",
    ),
    Dist(
        "slip-builtin",
        "taking",
        WORKS + '        register("json", "{package}.codec:Codec")\n',
        codec="taken",
        reason="the codec backend 'json' is built in: register it as another name",
    ),
    Dist(
        "slip-future",
        "future",
        requires=("slipcore>=9",),
        reason="it requires slipcore>=9, and this is slipcore 0.1.0",
    ),
    Dist(
        "slip-clientless",
        "clientless",
        "import nowhere_client.aio\n" + dedent(WORKS),
        requires=("slipcore>=0.1,<1", "nowhere-client"),
        reason=(
            "it needs the module nowhere_client, which is not installed: install slip-clientless "
            "again, with its dependencies"
        ),
    ),
    Dist(
        "slip-gone",
        "gone",
        value="slip_gone.plugins",
        reason=(
            "its entry point names the module slip_gone.plugins, and there is no slip_gone.plugins"
        ),
    ),
    Dist(
        "slip-nameless",
        "nameless",
        value="slip_nameless.plugin:Plugin",
        reason="its entry point names slip_nameless.plugin:Plugin, which is not there",
    ),
    Dist(
        "slip-thing",
        "thing",
        'PLUGIN = {"codecs": ["thing"]}',
        value="slip_thing.plugin:PLUGIN",
        reason="its entry point is to name a module with hooks, and names a dict",
    ),
    Dist(
        "slip-exiting",
        "exiting",
        "import sys\nsys.exit(3)",
        reason="importing slip_exiting.plugin called sys.exit(3)",
    ),
)
"""Each is a plugin that can't be used, and costs no other one anything."""

LAZY = (
    Dist(
        "slip-lazy",
        "lazy",
        files={"codec.py": "import nowhere_client.aio"},
        using=(
            "The codec backend 'lazy' of slip-lazy needs the module nowhere_client, which is not "
            "installed: install slip-lazy again, with its dependencies."
        ),
    ),
    Dist(
        "slip-late",
        "late",
        files={"codec.py": "raise SystemExit(0)"},
        using=(
            "The codec backend 'late' of slip-late:late can't be used: importing slip_late.codec "
            "called sys.exit(0)."
        ),
    ),
    Dist(
        "slip-breaking",
        "breaking",
        files={"codec.py": "raise RuntimeError('half built')"},
        using=(
            "The codec backend 'breaking' of slip-breaking:breaking can't be used: importing "
            "slip_breaking.codec raised RuntimeError: half built."
        ),
    ),
    Dist(
        "slip-hollow",
        "hollow",
        files={},
        using=(
            "slip-hollow:hollow registers the codec backend 'hollow' in the module "
            "slip_hollow.codec, and there is no slip_hollow.codec."
        ),
    ),
    Dist(
        "slip-number",
        "number",
        files={"codec.py": "Codec = 5"},
        using=(
            "slip-number:number registers slip_number.codec:Codec as the factory of the codec "
            "backend 'number', and that is of type int, which is not callable."
        ),
    ),
    Dist(
        "slip-rival-a",
        "rival_a",
        codec="rival",
        using=(
            "The codec backend 'rival' is registered by slip-rival-a:rival_a and by "
            "slip-rival-b:rival_b: disable one of them, e.g. with "
            "SLIP_DISABLE_PLUGINS=slip-rival-b:rival_b."
        ),
    ),
    Dist("slip-rival-b", "rival_b", codec="rival"),
)
"""Each loads, and using what it brings is an error."""

NOISY = Dist(
    "slip-noisy",
    "noisy",
    """
    import warnings

    print("a word at import")
    warnings.warn("an old module", DeprecationWarning, stacklevel=1)
    """
    + WORKS,
)
"""One that prints and warns."""

TWINS = (
    Dist("slip-twin-a", "twin", codec="castor"),
    Dist("slip-twin-b", "twin", codec="pollux"),
)
"""Two distributions with one name of a plugin."""

DAMAGED = Dist("slip-damaged", "damaged")
"""One whose entry_points.txt was damaged after it was installed."""

ALL = (FIRST, LAST, *FAILING, *LAZY, NOISY, *TWINS, DAMAGED)
