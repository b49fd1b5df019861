"""Configuration: where a setting comes from, which one wins, and what is said of a wrong one."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from traceback import format_exception
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipcore.config import Config, Setting, mask, merge, validate
from slipcore.interfaces import ConfigError, Secret, TopicOptions

Load = Callable[..., Config]

SHOP = """
    [app]
    name = "shop"

    [defaults]
    topic = "sqlite"
    cache = "rocks"

    [topics.emoji]
    backend = "kafka"     # a comment
    bootstrap_servers = "localhost:9092"

    [topics."state/x"]
    partitions = 3
"""


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


# --- the file -----------------------------------------------------------------------------


def test_settings_know_their_file_and_line(load: Load, tmp_path: Path) -> None:
    """What stands in slip.toml comes with the line it stands in."""
    config = load(SHOP)
    assert config.path == tmp_path / "slip.toml"
    assert config.app_name == Setting("shop", "slip.toml:2")
    assert config.default("topic") == Setting("sqlite", "slip.toml:5")
    assert config.default("cache") == Setting("rocks", "slip.toml:6")
    assert config.default("codec") is None
    assert config.entry("topics", "emoji") == {
        "backend": Setting("kafka", "slip.toml:9"),
        "bootstrap_servers": Setting("localhost:9092", "slip.toml:10"),
    }
    assert config.entry("topics", "state/x") == {"partitions": Setting(3, "slip.toml:13")}
    assert config.entry("topics", "other") == {}
    assert config.entry("caches", "emoji") == {}


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ('[topics]\nemoji = { backend = "kafka" }', "slip.toml:2"),
        ('[topics]\nemoji.backend = "kafka"', "slip.toml:2"),
        ('topics.emoji.backend = "kafka"', "slip.toml:1"),
        ('[topics . "emoji"]\n\n"backend" = "kafka"', "slip.toml:3"),
        ('topics = { emoji = { backend = "kafka" } }', "slip.toml:1"),
        ('[caches.a]\nbackend = "x"\n[topics.emoji]\nbackend = "kafka"', "slip.toml:4"),
        ('[caches.a]\nx = """\n[topics.b]\n"""\n[topics.emoji]\nbackend = "kafka"', "slip.toml:6"),
    ],
)
def test_the_line_in_every_way_of_writing_it(load: Load, text: str, origin: str) -> None:
    """Inline tables and dotted keys have the line of what is written out."""
    assert load(text).entry("topics", "emoji")["backend"] == Setting("kafka", origin)


def test_no_file(load: Load, tmp_path: Path) -> None:
    """Without a file everything is empty, and the state lives in the working directory."""
    config = load()
    assert config.path is None
    assert config.app_name is None
    assert (config.root, config.state_dir) == (tmp_path, tmp_path / ".slip")
    assert config.entry("topics", "emoji") == {}


def test_the_file_of_a_parent(load: Load, tmp_path: Path) -> None:
    """From a directory below, the nearest file above is read; state stays beside it."""
    load(SHOP)
    below = tmp_path / "src" / "app"
    below.mkdir(parents=True)
    config = Config.load(cwd=below, environ={})
    assert config.app_name == Setting("shop", "../../slip.toml:2")
    assert config.state_dir == tmp_path / ".slip"
    (tmp_path / "src" / "slip.toml").write_text('[app]\nname = "inner"\n')
    assert Config.load(cwd=below, environ={}).app_name == Setting("inner", "../slip.toml:2")


def test_the_working_directory_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without arguments, the directory and the environment of the process are read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLIP_APP__NAME", "shop")
    config = Config.load()
    assert config.root == tmp_path
    assert config.app_name == Setting("shop", "environment SLIP_APP__NAME")


def test_pyproject(load: Load, tmp_path: Path) -> None:
    """[tool.slip] in pyproject.toml is read where there is no slip.toml beside it."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n\n[tool.slip.app]\nname = "tool"\n'
        '[tool.slip.topics.emoji]\nbackend = "kafka"\n'
    )
    config = load()
    assert config.path == tmp_path / "pyproject.toml"
    assert config.app_name == Setting("tool", "pyproject.toml:5")
    assert config.entry("topics", "emoji")["backend"].origin == "pyproject.toml:7"
    assert load('[app]\nname = "own"').app_name == Setting("own", "slip.toml:2")


@pytest.mark.parametrize("text", ['[project]\nname = "x"\n', "[tool.other\n", "tool = 3\n"])
def test_somebody_elses_pyproject(load: Load, tmp_path: Path, text: str) -> None:
    """A pyproject.toml that is not about slipcore is passed by, whatever is wrong with it."""
    below = tmp_path / "below"
    below.mkdir()
    (below / "pyproject.toml").write_text(text)
    load('[app]\nname = "shop"')
    config = Config.load(cwd=below, environ={})
    assert config.path == tmp_path / "slip.toml"


def test_a_byte_order_mark(load: Load, tmp_path: Path) -> None:
    """A file as some editors save it is read."""
    (tmp_path / "slip.toml").write_text('[app]\nname = "shop"\n', encoding="utf-8-sig")
    assert load().app_name == Setting("shop", "slip.toml:2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[app]\nname = \n", "slip.toml:2 is no valid TOML: Invalid value."),
        ("[app]\nname = 'x' 3\n", "slip.toml:2 is no valid TOML: Expected newline or end of"),
        ('[app]\nname = "x\n', "slip.toml:2 is no valid TOML: "),
        (
            '[topic.emoji]\nbackend = "kafka"\n',
            "slip.toml:1: there is no section [topic]. Did you mean 'topics'?",
        ),
        ("[zzz]\n", "slip.toml:1: there is no section [zzz]. There are app, backends, "),
        (
            '[app]\nnam = "x"\n',
            "slip.toml:2: [app] has no setting 'nam'. Did you mean 'name'?",
        ),
        (
            '[defaults]\ntopics = "kafka"\n',
            "slip.toml:2: [defaults] has no setting 'topics'. Did you mean 'topic'?",
        ),
        (
            '[topics]\nbackend = "kafka"\n',
            "slip.toml:2: 'backend' is to be a table, [topics.backend]. What all share stands "
            "under [defaults].",
        ),
        ("topics = 3\n", "slip.toml:1: topics is to be a table, [topics]."),
        ("[[topics]]\n", "slip.toml: topics is to be a table, [topics]."),
        (
            "[topics.emoji]\nbackend = 3\n",
            "slip.toml:2: backend is to be a name, a string that is not empty.",
        ),
        (
            "[topics.emoji]\ncodec = ''\n",
            "slip.toml:2: codec is to be a name, a string that is not empty.",
        ),
        ("[app]\nname = 3\n", "slip.toml:2: name is to be a name, a string that is not empty."),
    ],
)
def test_a_wrong_file(load: Load, text: str, message: str) -> None:
    """What is wrong is said with file and line, and with the nearest right name."""
    assert refusal(load, text).startswith(message)


def test_a_file_that_is_no_text(load: Load, tmp_path: Path) -> None:
    """A file in another encoding is refused by name."""
    (tmp_path / "slip.toml").write_bytes(b'[app]\nname = "caf\xe9"\n')
    assert refusal(load) == "slip.toml is not UTF-8 text: save it as UTF-8."


# --- the environment ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("SLIP_TOPICS__EMOJI__BACKEND", "emoji"),
        ("SLIP_TOPICS__EMOJI__BACKEND", "Emoji"),
        ("SLIP_topics__emoji__backend", "emoji"),
        ("SLIP_TOPICS__STATE_X__BACKEND", "state/x"),
        ("SLIP_TOPICS__STATE_X__BACKEND", "state-x"),
        ("SLIP_TOPICS__A__B__BACKEND", "a__b"),
        ("SLIP_TOPICS__A___BACKEND", "a_"),
        ("SLIP_TOPICS__CAF___BACKEND", "café"),
    ],
)
def test_a_variable_stands_for_a_resource(load: Load, variable: str, name: str) -> None:
    """Names match whatever their case, with `_` for other characters, in no file or over it."""
    expected = {"backend": Setting("redis", f"environment {variable}")}
    assert load(**{variable: "redis"}).entry("topics", name) == expected
    config = load(f'[topics."{name}"]\nbackend = "kafka"\n', **{variable: "redis"})
    assert config.entry("topics", name) == expected


def test_a_variable_overrides_one_setting(load: Load) -> None:
    """The others stay as the file has them."""
    config = load(SHOP, SLIP_TOPICS__EMOJI__BACKEND="redis", SLIP_DEFAULTS__CACHE="memory")
    assert config.entry("topics", "emoji") == {
        "backend": Setting("redis", "environment SLIP_TOPICS__EMOJI__BACKEND"),
        "bootstrap_servers": Setting("localhost:9092", "slip.toml:10"),
    }
    assert config.default("cache") == Setting("memory", "environment SLIP_DEFAULTS__CACHE")
    assert config.default("topic") == Setting("sqlite", "slip.toml:5")


def test_variables_that_are_no_settings(load: Load) -> None:
    """The variables of plugins, and those of other programs, are passed by."""
    config = load(
        SLIP_PLUGINS="a", SLIP_DISABLE_PLUGINS="b", SLIP_STRICT_PLUGINS="1", SLIPPERY__A__B="c"
    )
    assert config.entry("topics", "a") == {}


# --- which plugins are used ---------------------------------------------------------------

PLUGINS = '[plugins]\nstrict = true\nallow = ["slip-kafka", "vault"]\ndisable = ["rocks"]\n'


def test_which_plugins_are_used(load: Load) -> None:
    """The file has a section for it, and of each setting the variable wins."""
    assert load().plugins == {}
    assert load(PLUGINS).plugins == {
        "strict": Setting(True, "slip.toml:2"),
        "allow": Setting(["slip-kafka", "vault"], "slip.toml:3"),
        "disable": Setting(["rocks"], "slip.toml:4"),
    }
    assert load(
        PLUGINS, SLIP_STRICT_PLUGINS="0", SLIP_PLUGINS="", SLIP_DISABLE_PLUGINS="*"
    ).plugins == {
        "strict": Setting(False, "environment SLIP_STRICT_PLUGINS"),
        "allow": Setting([], "environment SLIP_PLUGINS"),
        "disable": Setting(["*"], "environment SLIP_DISABLE_PLUGINS"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("strict = 1", "slip.toml:2: strict is to be true or false, and not 1."),
        ("strict = 'yes'", "slip.toml:2: strict is to be true or false, and not 'yes'."),
        (
            "allow = 'kafka'",
            "slip.toml:2: allow is to be a list of names of plugins or distributions, e.g. "
            "[\"slip-kafka\"], and not 'kafka'.",
        ),
        (
            "disable = ['kafka', 3]",
            "slip.toml:2: disable is to be a list of names of plugins or distributions, e.g. "
            "[\"slip-kafka\"], and not ['kafka', 3].",
        ),
        ("alow = []", "slip.toml:2: [plugins] has no setting 'alow'. Did you mean 'allow'?"),
    ],
)
def test_wrong_settings_of_plugins(load: Load, text: str, said: str) -> None:
    """They are refused with their line."""
    assert refusal(load, f"[plugins]\n{text}\n") == said


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_a_variable_that_makes_plugins_strict(load: Load, text: str) -> None:
    """It may be spelled as one likes, and its contrary too."""
    assert load(SLIP_STRICT_PLUGINS=text).plugins["strict"].value is True
    for contrary in ("", "0", "false", "no", "off"):
        assert load(SLIP_STRICT_PLUGINS=contrary).plugins["strict"].value is False


def test_wrong_variables_of_plugins(load: Load) -> None:
    """What is neither yes nor no, and the form that other settings have, are refused."""
    assert refusal(load, SLIP_STRICT_PLUGINS="maybe") == (
        "environment SLIP_STRICT_PLUGINS: it is to be 1 or 0, and not 'maybe'."
    )
    assert refusal(load, SLIP_PLUGINS__STRICT="1") == (
        "environment SLIP_PLUGINS__STRICT: plugins are chosen by SLIP_STRICT_PLUGINS, "
        "SLIP_PLUGINS, SLIP_DISABLE_PLUGINS."
    )


# --- names that variables can't tell apart ------------------------------------------------


def test_two_resources_of_the_file_that_match_one_variable(load: Load) -> None:
    """They are an error that names both, as soon as there is such a variable."""
    text = '[topics.a-b]\nbackend = "x"\n[topics.a_b]\nbackend = "y"\n'
    assert load(text).entry("topics", "a_b")["backend"].value == "y"
    assert refusal(load, text, SLIP_TOPICS__A_B__BACKEND="z") == (
        "SLIP_TOPICS__A_B__BACKEND stands for both 'a-b' and 'a_b' of [topics]: rename one of "
        "them, or configure them in slip.toml."
    )


def test_two_resources_in_code_that_match_one_variable(load: Load) -> None:
    """The second that asks is refused; the first may ask again, and other kinds are apart."""
    config = load(SLIP_TOPICS__A_B__BACKEND="z")
    assert config.entry("topics", "a-b")
    assert config.entry("topics", "a-b")
    assert config.entry("caches", "a_b") == {}
    with pytest.raises(ConfigError, match="stands for both 'a-b' and 'a_b'"):
        config.entry("topics", "a_b")


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (
            "SLIP_TOPIC__EMOJI__BACKEND",
            "environment SLIP_TOPIC__EMOJI__BACKEND: there is no section 'topic'. "
            "Did you mean 'topics'?",
        ),
        (
            "SLIP_TOPICS__BACKEND",
            "environment SLIP_TOPICS__BACKEND: it is to be SLIP_TOPICS__NAME__SETTING.",
        ),
        (
            "SLIP_APP__NAM",
            "environment SLIP_APP__NAM: [app] has no setting 'nam'. Did you mean 'name'?",
        ),
        (
            "SLIP_DEFAULTS__A__TOPIC",
            "environment SLIP_DEFAULTS__A__TOPIC: it is to be SLIP_DEFAULTS__SETTING.",
        ),
    ],
)
def test_a_wrong_variable(load: Load, variable: str, message: str) -> None:
    """It is named, with the nearest right one."""
    assert refusal(load, **{variable: "x"}) == message


def test_one_setting_by_two_variables(load: Load) -> None:
    """Two spellings of one variable are an error that names both."""
    assert (
        refusal(load, SLIP_APP__NAME="a", SLIP_app__name="b")
        == "SLIP_APP__NAME and SLIP_app__name are the same setting: unset one."
    )


def test_an_empty_name_in_the_environment(load: Load) -> None:
    """An empty variable is no name."""
    assert refusal(load, SLIP_APP__NAME="") == (
        "environment SLIP_APP__NAME: name is to be a name, a string that is not empty."
    )


# --- precedence ---------------------------------------------------------------------------


def test_code_wins_over_environment_over_file(load: Load) -> None:
    """Merged in this order, the last layer wins, setting by setting."""
    config = load(
        '[topics.t]\na = "file"\nb = "file"\nc = "file"\n',
        SLIP_TOPICS__T__B="env",
        SLIP_TOPICS__T__C="env",
    )
    merged = merge(config.entry("topics", "t"), {"c": Setting("code", "code")})
    assert {key: setting.value for key, setting in merged.items()} == {
        "a": "file",
        "b": "env",
        "c": "code",
    }


LAYERS = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers()), max_size=4)


@given(LAYERS)
def test_merging_is_as_if_written_one_after_another(layers: list[dict[str, int]]) -> None:
    """For every setting the last layer that has it wins, and the layers stay as they were."""
    made = [{key: Setting(value, str(i)) for key, value in x.items()} for i, x in enumerate(layers)]
    assert merge(*made) == {key: setting for layer in made for key, setting in layer.items()}


# --- validation ---------------------------------------------------------------------------


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


def code(**values: Any) -> dict[str, Setting]:
    return {key: Setting(value, "code") for key, value in values.items()}


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


# --- masking ------------------------------------------------------------------------------


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
