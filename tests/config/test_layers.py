"""Where a setting comes from, and which one wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipcore.config import Config, Setting, merge
from slipcore.interfaces import ConfigError

from .conftest import Load, refusal

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
