"""The command line: help, which app is meant, plans, plugins, and what the front page says."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner

from slipcore.cli import NEEDS_EXTRA
from slipcore.cli.commands import slip as slip_command
from slipcore.cli.target import Target

ROOT = Path(__file__).parent.parent
DEADLINE = 60.0

Slip: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Start: TypeAlias = Callable[..., subprocess.Popen[str]]
Write: TypeAlias = Callable[..., Path]


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


# --- help and usage ------------------------------------------------------------------------


def test_the_help_teaches_by_example() -> None:
    """`slip --help` shows an app file and the commands to type."""
    result = CliRunner().invoke(slip_command, ["--help"])
    assert result.exit_code == 0
    assert '@handle(Topic("orders"), sink=[print])' in result.output
    assert "slip run shop.py" in result.output


@pytest.mark.parametrize("command", ["run", "plan", "config", "doctor", "backends", "plugins"])
def test_the_help_of_every_command_has_an_example_and_fits_80_columns(command: str) -> None:
    """Each command's help shows how it is typed and needs no wide terminal."""
    result = CliRunner().invoke(slip_command, [command, "--help"])
    assert result.exit_code == 0
    assert f"  slip {command}" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_help_waits_for_nothing_that_it_does_not_need() -> None:
    """What tables and clients stand on is imported by the commands that use it."""
    code = """if True:
        import sys
        import slipcore.cli.commands
        sys.exit(sorted({"rich", "aiokafka", "redis", "sqlite3"} & set(sys.modules)) or 0)
    """
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_help_of_run_names_the_exit_codes() -> None:
    """The four exit codes are to be found where they are needed."""
    output = CliRunner().invoke(slip_command, ["run", "--help"]).output
    assert [f"    {n}  " in output for n in range(4)] == [True] * 4


def test_the_version_is_printed(slip: Slip) -> None:
    """`slip --version` prints the version of the distribution."""
    result = slip("--version")
    assert (result.returncode, result.stdout) == (0, "slip, version 0.1.0\n")


def test_wrong_usage_ends_with_2(slip: Slip) -> None:
    """An unknown option is a usage error: one sentence, exit code 2."""
    result = slip("run", "--fast", "app.py")
    assert result.returncode == 2
    assert "No such option" in result.stderr


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_sentence_says_what_to_install(missing: str) -> None:
    """Without click or rich, `slip` names the extra, no index, and ends with 2."""
    code = f"import sys; sys.modules[{missing!r}] = None; from slipcore.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == NEEDS_EXTRA + "\n"
    assert "slipcore[cli]" in NEEDS_EXTRA
    assert "pip install -e '.[cli]'" in NEEDS_EXTRA


# --- which app -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop.py", Target("shop.py")),
        ("shop.py:app", Target("shop.py", "app")),
        ("company.shop:apps.main", Target("company.shop", "apps.main")),
        ("C:\\apps\\shop.py", Target("C:\\apps\\shop.py")),
        ("odd:name.py", Target("odd", "name.py")),
        (":app", Target(":app")),
    ],
)
def test_a_target_is_a_place_and_perhaps_an_app(text: str, expected: Target) -> None:
    """What stands after the last colon names the App, if it can be a name."""
    assert Target.parse(text) == expected


def test_a_file_runs_under_its_stem(slip: Slip, write: Write) -> None:
    """What is guarded by `__name__` does not run, and the app is named after the file."""
    write("shop.py", Path("ending.py"), "assert __name__ == 'shop'\n")
    result = slip("run", "shop.py")
    assert (result.returncode, result.stdout) == (0, "0\n2\n4\n")
    assert result.stderr.startswith("App shop\n")


def test_a_dotted_module_is_found_from_here(slip: Slip, write: Write) -> None:
    """The working directory is on the path, so that a package in it may be named."""
    write("company/__init__.py", "")
    write("company/shop.py", Path("ending.py"))
    result = slip("run", "company.shop", PYTHONSAFEPATH="1")  # as for the script `slip`
    assert (result.returncode, result.stdout) == (0, "0\n2\n4\n")
    assert result.stderr.startswith("App shop\n")


def test_a_file_imports_its_neighbours(slip: Slip, write: Write) -> None:
    """The file's own directory is on the path, wherever `slip` is called."""
    write("apps/neighbour.py", "FACTOR = 2\n")
    write("apps/shop.py", "import neighbour\n", Path("ending.py"))
    assert slip("run", "apps/shop.py", "-q").returncode == 0


def test_an_app_file_may_have_the_name_of_a_standard_module(slip: Slip, write: Write) -> None:
    """A file `json.py` runs and takes nobody else's json away."""
    write(
        "apps/json.py",
        Path("ending.py"),
        replace={"return number * 2": "import json; return json.dumps(number * 2)"},
    )
    result = slip("run", "apps/json.py", "--log-json")
    assert (result.returncode, result.stdout) == (0, "0\n2\n4\n")


def test_the_named_app_runs(slip: Slip, write: Write) -> None:
    """Of two apps in a file the one after the colon runs."""
    write("two.py", Path("two.py"))
    result = slip("run", "two.py:second", "-q")
    assert (result.returncode, result.stdout, result.stderr) == (0, "second\n", "")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("two.py", "two.py holds the apps first, second: name one, two.py:first."),
        ("two.py:third", "two.py has no App named 'third'; it holds first, second."),
        (
            "two.py:number",
            "two.py has no App named 'number': it is of type int; it holds first, second.",
        ),
        ("empty.py", "empty.py binds no handler: write @handle(source, sink=[...]) over"),
        ("nothere.py", "There is no file nothere.py in "),
        ("nothere", "There is no module 'nothere' in "),
        ("apps.", "There is no module 'apps.' in "),
        ("./apps", "apps is a directory: name an app file in it, or a dotted module."),
    ],
)
def test_an_app_that_is_not_to_be_found_is_told_in_a_sentence(
    slip: Slip, tmp_path: Path, target: str, sentence: str, write: Write
) -> None:
    """What is not there, is several, or is no app: one line, exit code 2, for run and for plan."""
    write("two.py", Path("two.py"))
    write("empty.py", "import slipcore\n")
    (tmp_path / "apps").mkdir()
    for command in ("run", "plan"):
        result = slip(command, target)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"Error: {sentence}")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("call", ["run(stream())", "run(current_app().stream())"])
def test_a_file_that_runs_its_stream_itself_is_told_how_to_guard_it(
    slip: Slip, call: str, write: Write
) -> None:
    """A module-level run(stream()) is refused: nothing runs twice, and the guard is shown."""
    write(
        "eager.py",
        Path("ending.py"),
        f"""
    from asyncio import run
    from slipcore import stream
    from slipcore.current import current_app
    {call}
    """,
    )
    result = slip("run", "eager.py")
    assert (result.returncode, result.stdout) == (2, "")
    assert "eager.py runs its stream while it is imported" in result.stderr
    assert 'if __name__ == "__main__":' in result.stderr
    assert "Traceback" not in result.stderr


# --- plan ----------------------------------------------------------------------------------


def test_a_plan_tells_backends_reasons_and_guarantees(
    slip: Slip, tmp_path: Path, write: Write
) -> None:
    """The plan goes to stdout, plain and within 80 columns, and nothing is made for it."""
    write("words.py", Path("counting.py"))
    write("slip.toml", '[app]\nname = "shop"\n\n[topics.words]\nbackend = "memory"\n')
    result = slip("plan", "words.py")
    assert (result.returncode, result.stderr) == (0, "")
    assert "App shop\n  group     shop\n  state     .slip\n  config    slip.toml\n" in result.stdout
    assert "  to        words, a topic on memory (slip.toml" in result.stdout
    assert "  state     counts, a cache on sqlite (the embedded default)" in result.stdout
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert not (tmp_path / ".slip").exists()


def test_a_plan_as_json_has_stable_names(slip: Slip, write: Write) -> None:
    """`slip plan --json` is one JSON object with the fields of the plan."""
    write("words.py", Path("counting.py"))
    plan = json.loads(slip("plan", "words.py", "--json").stdout)
    assert list(plan) == ["app", "group", "config", "state_dir", "bindings"]
    assert [binding["name"] for binding in plan["bindings"]] == ["split", "count"]
    count = plan["bindings"][1]
    assert count["state_delivery"] == "effectively-once"
    assert count["sources"][0]["backend"] == "sqlite"
    assert count["sources"][0]["reason"] == "the embedded default"


def test_a_plan_masks_secrets(slip: Slip, write: Write) -> None:
    """A password in a setting is in neither form of the plan."""
    write("words.py", Path("counting.py"))
    for args in (["words.py"], ["words.py", "--json"]):
        result = slip("plan", *args, SLIP_TOPICS__WORDS__PATH="file://joe:hunter2@disk/words.db")
        assert result.returncode == 0
        assert "file://joe:***@disk/words.db" in result.stdout
        assert "hunter2" not in result.stdout + result.stderr


# --- plugins -------------------------------------------------------------------------------


def test_the_plugins_are_listed(slip: Slip) -> None:
    """The built-in plugin is there, with what it provides, within 80 columns."""
    result = slip("plugins")
    assert result.returncode == 0
    assert "builtin" in result.stdout
    assert "topic" in result.stdout or "source" in result.stdout
    assert "memory, sqlite" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_plugins_as_json(slip: Slip) -> None:
    """`slip plugins --json` names the same, for machines."""
    plugins = json.loads(slip("plugins", "--json").stdout)
    (builtin,) = [plugin for plugin in plugins if plugin["name"] == "builtin"]
    assert builtin["status"] == "loaded"
    assert builtin["distribution"] == "slipcore"
    assert "sqlite" in builtin["provides"]["cache"]


def test_a_plugin_that_fails_is_listed_with_its_reason(
    slip: Slip, write: Write, tmp_path: Path
) -> None:
    """Its row says failed, and the reason follows; --check makes it an exit code."""
    info = "site/broken_slip-1.2.dist-info"
    write("site/broken_slip.py", 'raise RuntimeError("half built")\n')
    write(f"{info}/METADATA", "Metadata-Version: 2.1\nName: broken-slip\nVersion: 1.2\n")
    write(f"{info}/entry_points.txt", "[slipcore]\nbroken = broken_slip\n")
    env = {"PYTHONPATH": str(tmp_path / "site")}
    result = slip("plugins", **env)
    assert result.returncode == 0
    assert re.search(r"^broken +broken-slip +1\.2 +failed", result.stdout, re.MULTILINE)
    assert "half built" in result.stdout
    assert slip("plugins", "--check", **env).returncode == 1
    assert slip("plugins", "--check").returncode == 0


def test_listing_imports_no_client_library() -> None:
    """`slip plugins` leaves the libraries of the backends alone."""
    code = """if True:
        import sys
        from slipcore.cli.listing import list_plugins
        list_plugins(as_json=True, check=False)
        clients = {"aiokafka", "redis", "rocksdict", "fastavro"}
        sys.exit(sorted(clients & set(sys.modules)) or 0)
    """
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


# --- the front page ------------------------------------------------------------------------


def test_the_program_on_the_front_page_works(start_slip: Start, write: Write) -> None:
    """The README's program counts words, stops on Ctrl-C, and goes on counting at the next run."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    write("words.py", program)
    for to, be in ((1, 1), (3, 3)):
        process = start_slip("run", "words.py")
        assert read_line(process) == f"('to', {to})"
        assert read_line(process) == f"('be', {be})"
        for _ in range(4):
            read_line(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_front_pages_lead_somewhere(page: str) -> None:
    """Each relative link names a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []
