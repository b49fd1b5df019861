"""A plugin that fails costs the others nothing: real distributions in a fresh environment."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, SETTINGS, Environment, Slip
from .distributions import DAMAGED, FAILING, FIRST, LAST, LAZY, NOISY, TWINS, Dist

ASKED = "It was asked for by topic 'orders', codec of environment SLIP_TOPICS__ORDERS__CODEC."


def by_name(dist: Dist) -> str:
    return dist.name


def allowed(*dists: Dist) -> dict[str, str]:
    """The variable that lets these be used, and the two that always work."""
    return {"SLIP_PLUGINS": ",".join(dist.name for dist in (FIRST, LAST, *dists))}


def error(result: subprocess.CompletedProcess[str]) -> str:
    """The sentence of a command that was misconfigured; before it may stand warnings."""
    assert "Traceback" not in result.stderr
    assert (result.returncode, result.stdout) == (2, "")
    *_, line = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def warning(dist: Dist) -> str:
    return f"Plugin {dist.owner} failed and is not used: {dist.reason}"


@pytest.fixture(scope="module")
def everything(environment: Environment) -> subprocess.CompletedProcess[str]:
    """What `slip plugins --json` says where all of them are to be used."""
    return environment.run(environment.slip, "plugins", "--json", cwd=environment.folder)


@pytest.fixture(scope="module")
def listed(everything: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Owner -> what the list says of it."""
    assert everything.returncode == 0
    rows: list[dict[str, Any]] = json.loads(everything.stdout)
    return {f"{row['distribution']}:{row['name']}": row for row in rows}


# --- each of them -------------------------------------------------------------------------


@pytest.mark.parametrize("dist", FAILING, ids=by_name)
def test_a_plugin_that_fails_is_listed_with_its_reason(
    everything: subprocess.CompletedProcess[str], listed: dict[str, Any], dist: Dist
) -> None:
    """Its owner, version and reason are told, and one warning; it provides nothing."""
    row = listed[dist.owner]
    assert (row["status"], row["version"], row["provides"]) == ("failed", "1.2", {})
    assert row["reason"] == dist.reason
    said = [line for line in everything.stderr.splitlines() if dist.owner in line]
    assert said == [warning(dist)]


@pytest.mark.parametrize("dist", FAILING, ids=by_name)
def test_a_plugin_that_fails_stops_no_app(slip: Slip, dist: Dist) -> None:
    """An app on plugins before and after it runs, and ends in order after one warning."""
    result = slip("run", "app.py", "-q", **allowed(dist))
    assert (result.returncode, result.stdout) == (0, "1\n2\n")
    (line,) = result.stderr.splitlines()
    assert line.endswith(warning(dist))


@pytest.mark.parametrize("dist", FAILING, ids=by_name)
def test_using_what_a_failed_plugin_would_have_brought(slip: Slip, dist: Dist) -> None:
    """The error names the plugin and why it failed, and only that one; exit code 2."""
    another = FAILING[FAILING.index(dist) - 1]
    environ = {**allowed(dist, another), "SLIP_TOPICS__ORDERS__CODEC": dist.asked}
    would = "would" if dist.codec else "may"  # only what was registered before it failed is known
    assert error(slip("plan", "app.py", **environ)) == (
        f"There is no codec backend '{dist.asked}': there are alpha, json, msgpack, pickle, raw, "
        f"text, zeta. It {would} come with the plugin {dist.owner}, which failed: {dist.reason}. "
        f"{ASKED}"
    )


@pytest.mark.parametrize("dist", [dist for dist in LAZY if dist.using], ids=by_name)
def test_what_fails_only_when_it_is_used(slip: Slip, listed: dict[str, Any], dist: Dist) -> None:
    """A plugin without its client library loads; using it says what is missing: exit code 2."""
    assert listed[dist.owner]["provides"] == {"codec": [dist.asked]}
    environ = allowed(*LAZY)
    assert slip("run", "app.py", "-q", **environ).returncode == 0
    for command in ("run", "plan"):
        sentence = error(slip(command, "app.py", SLIP_TOPICS__ORDERS__CODEC=dist.asked, **environ))
        assert sentence == dist.using


# --- all of them --------------------------------------------------------------------------


def test_all_at_once(slip: Slip, listed: dict[str, Any]) -> None:
    """Each is listed once with its own fate, and an app on those that work runs."""
    damaged = f"{DAMAGED.name}:damaged"
    failed = {owner for owner, row in listed.items() if row["status"] == "failed"}
    assert failed == {damaged, *(dist.owner for dist in FAILING)}
    working = {dist.owner for dist in (FIRST, LAST, NOISY, *LAZY, *TWINS)}
    assert set(listed) - failed == {"slipcore:builtin", *working}
    assert listed[damaged]["reason"] == (
        "its line in entry_points.txt is not of the form name = module"
    )
    result = slip("run", "app.py", "-q")
    assert (result.returncode, result.stdout) == (0, "1\n2\n")
    assert result.stderr.count("failed and is not used") == len(failed)


def test_what_a_plugin_prints_is_no_output_of_the_command(slip: Slip) -> None:
    """It is on stderr, and its warnings stop it only where warnings are errors."""
    result = slip("plugins", "--json", **allowed(NOISY))
    assert [row["name"] for row in json.loads(result.stdout) if row["status"] == "loaded"] == [
        "builtin",
        "alpha",
        "noisy",
        "zeta",
    ]
    assert result.stderr == "a word at import\n"
    strict = slip("plugins", "--json", **allowed(NOISY), PYTHONWARNINGS="error:an old module")
    (row,) = [row for row in json.loads(strict.stdout) if row["name"] == "noisy"]
    assert row["reason"] == ("importing slip_noisy.plugin raised DeprecationWarning: an old module")


def test_two_distributions_with_one_plugin_name(slip: Slip, listed: dict[str, Any]) -> None:
    """Both are used, and either can be disabled by its distribution."""
    for dist in TWINS:
        assert listed[dist.owner]["provides"] == {"codec": [dist.codec]}
        assert slip("run", "app.py", SLIP_TOPICS__ORDERS__CODEC=dist.codec).returncode == 0
    rows = json.loads(slip("plugins", "--json", SLIP_DISABLE_PLUGINS=TWINS[0].name).stdout)
    assert [
        (row["distribution"], row["status"]) for row in rows if row["name"] == TWINS[0].plugin
    ] == [(TWINS[0].name, "disabled"), (TWINS[1].name, "loaded")]


def test_of_two_plugins_with_one_name_one_can_be_disabled(slip: Slip) -> None:
    """What the message of the conflict says is what helps."""
    environ = {**allowed(*LAZY), "SLIP_TOPICS__ORDERS__CODEC": "rival"}
    assert slip("plugins", "--check", **environ).returncode == 1
    environ["SLIP_DISABLE_PLUGINS"] = "slip-rival-b:rival_b"
    assert slip("plugins", "--check", **environ).returncode == 0
    assert slip("run", "app.py", "-q", **environ).returncode == 0


def test_a_check(slip: Slip) -> None:
    """`--check` ends with 1 where a plugin failed, and with 0 where all are in order."""
    assert slip("plugins", "--check", **allowed(FAILING[0])).returncode == 1
    assert slip("plugins", "--check", **allowed(NOISY, *TWINS)).returncode == 0


def test_a_name_of_which_nothing_is_known(slip: Slip) -> None:
    """What failed is listed, as it may have brought the name: exit code 2."""
    sentence = error(slip("plan", "app.py", SLIP_TOPICS__ORDERS__CODEC="morse"))
    failed = sorted((dist.plugin, dist.owner) for dist in (*FAILING, DAMAGED))
    assert sentence == (
        "There is no codec backend 'morse': there are alpha, breaking, castor, hollow, json, late, "
        "lazy, msgpack, noisy, number, pickle, pollux, raw, rival, text, zeta. These plugins "
        "failed and may bring it, `slip plugins` says why: "
        f"{', '.join(owner for _, owner in failed)}. "
        f"{ASKED}"
    )


def test_settings_of_a_backend_whose_plugin_failed(slip: Slip, tmp_path: Path) -> None:
    """A table of what can't be used, and is not used, stops no app."""
    (tmp_path / "slip.toml").write_text(SETTINGS + "[backends.raising]\nurl = 'there'\n")
    assert slip("run", "app.py", "-q", **allowed(FAILING[0])).returncode == 0


# --- who is used --------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("run", "app.py"), ("plan", "app.py")])
def test_strict_in_the_file(slip: Slip, tmp_path: Path, command: tuple[str, ...]) -> None:
    """With `strict = true` nothing starts while a plugin fails: exit code 2. A variable wins."""
    (tmp_path / "slip.toml").write_text(SETTINGS + "[plugins]\nstrict = true\n")
    dist = FAILING[0]
    assert error(slip(*command, **allowed(dist))) == (
        f"Plugin {dist.owner} failed, and plugins are strict (slip.toml:10): {dist.reason}."
    )
    assert slip(*command, **allowed(dist), SLIP_STRICT_PLUGINS="0").returncode == 0


def test_the_list_under_strict(slip: Slip) -> None:
    """It says which plugin fails and why, as without; `--check` ends with 1."""
    environ = {**allowed(FAILING[0], FAILING[1]), "SLIP_STRICT_PLUGINS": "1"}
    listed = slip("plugins", "--json", **environ)
    assert listed.returncode == 0
    rows = json.loads(listed.stdout)
    reasons = {row["reason"] for row in rows if row["status"] == "failed"}
    assert reasons == {FAILING[0].reason, FAILING[1].reason}
    assert slip("plugins", "--check", **environ).returncode == 1


def test_allow_and_disable_in_the_file(slip: Slip, tmp_path: Path) -> None:
    """What the file allows and does not disable is used, and nothing else; variables win."""
    (tmp_path / "slip.toml").write_text(
        SETTINGS + '[plugins]\nallow = ["alpha", "zeta", "raising"]\ndisable = ["slip-raising"]\n'
    )
    result = slip("run", "app.py", "-q")
    assert (result.returncode, result.stdout, result.stderr) == (0, "1\n2\n", "")
    assert error(slip("plan", "app.py", SLIP_TOPICS__ORDERS__CODEC="raising")) == (
        "There is no codec backend 'raising': there are alpha, json, msgpack, pickle, raw, text, "
        "zeta. It may come with the plugin slip-raising:raising, which is disabled: it is among "
        f"those not to be used (slip.toml:11). {ASKED}"
    )
    told = slip("run", "app.py", "-q", SLIP_DISABLE_PLUGINS="")
    assert told.stderr.count("failed and is not used") == 1


# --- what this project brings -------------------------------------------------------------


def test_a_distribution_of_this_project_that_is_not_installed(slip: Slip) -> None:
    """The message says which one brings the name, and the command that installs it from here."""
    environ = {**allowed(), "SLIP_TOPICS__ORDERS__BACKEND": "kafka"}
    for command in ("run", "plan"):
        sentence = error(slip(command, "app.py", **environ))
        assert sentence.startswith("There is no source or topic backend 'kafka': there are memory")
        folder = shlex.quote(str(ROOT / "plugins" / "slip_kafka"))
        assert f"It comes with slip-kafka: pip install -e {folder}. It was asked" in sentence
    assert slip("run", "app.py", "-q", **allowed()).returncode == 0
