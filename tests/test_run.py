"""The commands of run.py: what each starts, with which arguments and exit code; all are fakes."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).parents[1]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that `main` starts, in order, without the Python in front; all succeed."""
    commands: list[list[str]] = []

    def start(command: list[str]) -> int:
        assert command[0] == str(run.PYTHON)
        commands.append(command[1:])
        return 0

    monkeypatch.setattr(run, "set_up", lambda: None)
    monkeypatch.setattr(run, "add_peers", lambda: None)
    monkeypatch.setattr(run, "set_lab_defaults", lambda: None)
    monkeypatch.setattr(run, "load", lambda name: {"write_copies": lambda notebooks: []})
    monkeypatch.setattr(run, "hand_over", start)
    monkeypatch.setattr(subprocess, "call", start)
    monkeypatch.chdir(ROOT)  # `test` changes the folder: this undoes it
    return commands


@pytest.mark.parametrize("command", ["train", "sample", "evaluate", "compare"])
def test_workbench_commands_get_their_arguments_untouched(
    started: list[list[str]], command: str
) -> None:
    arguments = ["--data", "my pairs.jsonl", "--help", "", "-x", "--", "*"]
    assert run.main([command, *arguments]) == 0
    assert started == [["-m", "workbench", command, *arguments]]


def test_bench_runs_the_benchmarks_with_its_arguments(started: list[list[str]]) -> None:
    run.main(["bench", "short", "--rounds", "3"])
    assert started == [[str(ROOT / "benchmarks" / "run.py"), "short", "--rounds", "3"]]


@pytest.mark.parametrize(
    ("command", "expected"),
    [("bench", 1), ("bench short", 1), ("bench papers", 0), ("lab", 0), ("test", 0)],
)
def test_peers_are_installed_for_the_benchmarks_alone(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, command: str, expected: int
) -> None:
    monkeypatch.setattr(run, "add_peers", lambda: started.append(["peers"]))
    run.main(command.split())
    assert started.count(["peers"]) == expected


def test_setup_starts_nothing_else(started: list[list[str]]) -> None:
    assert run.main(["setup"]) == 0
    assert started == []


@pytest.mark.parametrize("command", ["lab", "setup", "test", "bench", "train"])
def test_every_command_sets_up_before_it_starts_anything(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(run, "set_up", lambda: started.append(["set up"]))
    run.main(command.split())
    assert started[0] == ["set up"]


def test_exit_code_is_passed_on(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "hand_over", lambda command: 7)
    assert run.main(["train"]) == 7


def test_checks_run_in_order_and_pytest_has_the_last_word(
    started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    run.main(["test", "--full", "tests/core", "-k", "dpo"])
    headings = ["ruff check", "ruff format --check", "lint-imports", "mypy", "pytest"]
    assert capsys.readouterr().out == "".join(f"\n== {heading}\n" for heading in headings)
    assert started[0] == ["-m", "ruff", "check"]
    parallel = ["-n", "auto", "--dist", "worksteal"]
    assert started[-1] == ["-m", "pytest", *parallel, "--full", "tests/core", "-k", "dpo"]
    assert len(started) == 5


def test_first_failing_check_ends_the_run_with_its_code(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = iter([0, 5])

    def start(command: list[str]) -> int:
        started.append(command)
        return next(codes)

    monkeypatch.setattr(subprocess, "call", start)
    assert run.main(["test"]) == 5
    assert len(started) == 2


@pytest.mark.parametrize("arguments", [[], ["lab"]])
def test_lab_opens_the_first_notebook_for_this_machine_alone(
    started: list[list[str]], arguments: list[str]
) -> None:
    run.main(arguments)
    (command,) = started
    assert command[:2] == ["-m", "jupyterlab"]
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start.ipynb" in command
    assert not any("token" in part.lower() or "password" in part.lower() for part in command)


@pytest.mark.parametrize(("command", "expected"), [("lab", 1), ("test", 0), ("train", 0)])
def test_learners_copies_are_written_before_lab_opens_and_told_of(
    started: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    expected: int,
) -> None:
    def write(notebooks: Path) -> list[str]:
        started.append([str(notebooks)])
        return ["01: yours", "02: yours"]

    monkeypatch.setattr(run, "load", {"unsolved": {"write_copies": write}}.get)
    run.main(command.split())
    assert started.count([str(ROOT / "notebooks")]) == expected
    assert started[-1][0] == "-m"
    assert capsys.readouterr().out.count("01: yours\n02: yours\n") == expected


@pytest.mark.parametrize("named", [["lab"], []])
def test_arguments_of_lab_come_last_so_that_they_win(
    started: list[list[str]], named: list[str]
) -> None:
    run.main([*named, "--ServerApp.port=8899", "--debug"])
    assert started[0][:2] == ["-m", "jupyterlab"]
    assert started[0][-2:] == ["--ServerApp.port=8899", "--debug"]


def test_no_question_about_news_covers_the_first_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """JupyterLab reads the file that is written, and nothing outside .venv is touched."""
    place = run.LAB_DEFAULTS.relative_to(run.VENV)
    monkeypatch.setattr(run, "LAB_DEFAULTS", tmp_path / place)
    run.set_lab_defaults()
    code = (
        "from jupyterlab_server.settings_utils import _get_overrides as read\n"
        "print(read('nowhere')[0]['@jupyterlab/apputils-extension:notification']['fetchNews'])"
    )
    environment = os.environ | {
        "JUPYTER_PATH": "",
        "JUPYTER_CONFIG_PATH": str(tmp_path / "etc/jupyter"),
    }
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "false"


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"DISPLAY": ":10", "SSH_CONNECTION": "a"}, False),
        ("linux", {"BROWSER": "helper", "SSH_CONNECTION": "a"}, True),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "a"}, False),
        ("win32", {}, True),
    ],
)
def test_browser_is_opened_only_where_the_person_sees_it(
    platform: str, environment: dict[str, str], expected: bool
) -> None:
    assert run.has_browser(platform, environment) is expected


def test_unknown_command_is_refused_before_any_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "set_up", lambda: pytest.fail("nothing to set up for a typing slip"))
    assert run.main(["tset"]) == 2
    assert capsys.readouterr().err.startswith("Unknown command: tset\n\nSet the workbench up")


def test_help_needs_no_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "set_up", lambda: pytest.fail("help needs no set-up"))
    assert run.main(["--help"]) == 0
    words = capsys.readouterr().out
    assert all(name in words for name in ("lab", "setup", "test", "bench", *run.FORWARDED))


# -- before anything is installed -----------------------------------------------------------------

BARE = [
    ROOT / "run.py",
    *(ROOT / "workbench" / "cli" / f"{n}.py" for n in ("unsolved", "find_python")),
]


@pytest.mark.parametrize("path", BARE, ids=lambda path: path.name)
def test_files_of_the_set_up_import_the_standard_library_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        else:
            continue
        assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("path", BARE, ids=lambda path: path.name)
def test_an_older_python_can_read_them_to_find_a_newer_one(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize(
    ("name", "function"), [("unsolved", "write_copies"), ("find_python", "find_python")]
)
def test_files_of_cli_are_loaded_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, function: str
) -> None:
    folder = tmp_path / "workbench" / "cli"
    folder.mkdir(parents=True)
    for parent in (folder, folder.parent):
        (parent / "__init__.py").write_text("raise ImportError('nothing is installed yet')")
    shutil.copy(ROOT / "workbench" / "cli" / f"{name}.py", folder)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    assert callable(run.load(name)[function])


def test_copies_are_written_by_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "broken.ipynb").write_text("{")
    (line,) = run.load("unsolved")["write_copies"](tmp_path)
    assert line.startswith("broken.ipynb: no copy to work in was made: ")


# -- started with another Python ------------------------------------------------------------------


@pytest.fixture
def old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    monkeypatch.setattr(run, "set_up", lambda: pytest.fail("set up by a Python it does not take"))


@pytest.mark.usefixtures("old_python")
@pytest.mark.parametrize("arguments", [[], ["lab", "--port", "1"], ["test", "-k", "a b"]])
def test_a_python_that_is_taken_goes_on_with_the_same_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    asked: list[object] = []
    started: list[list[str]] = []

    def find(versions: object, first: str) -> list[str]:
        asked.extend([versions, first])
        return ["py", "-3.13"]

    def hand_over(command: list[str]) -> int:
        started.append(command)
        return 7

    monkeypatch.setattr(run, "load", {"find_python": {"find_python": find}}.get)
    monkeypatch.setattr(run, "hand_over", hand_over)
    assert run.main(arguments) == 7
    assert asked == [run.SUPPORTED, str(run.PYTHON)]
    assert started == [["py", "-3.13", str(ROOT / "run.py"), *arguments]]
    written = capsys.readouterr()
    assert written.err == "This is Python 3.10; py -3.13 goes on.\n"
    assert written.out == ""


@pytest.mark.parametrize("version", [(3, 10), (3, 15)])
def test_other_pythons_are_refused_in_one_line(
    version: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "set_up", lambda: pytest.fail("set up by a Python it does not take"))
    monkeypatch.setattr(run, "load", lambda name: {name: lambda versions, first: []})
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    with pytest.raises(SystemExit) as stopped:
        run.main(["setup"])
    assert stopped.value.code == 1
    found = ".".join(map(str, version))
    assert capsys.readouterr().err == (
        f"The workbench runs on Python 3.11, 3.12, 3.13, 3.14; this is {found}, "
        "and the PATH has no other.\n"
    )


@pytest.mark.usefixtures("old_python")
@pytest.mark.parametrize(("arguments", "code"), [(["help"], 0), (["tset"], 2)])
def test_help_is_given_by_any_python(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.setattr(run, "load", lambda name: pytest.fail("no other Python is needed"))
    assert run.main(arguments) == code


@pytest.mark.parametrize(
    ("argument", "ours"),
    [
        ("--ServerApp.port=8899", True),
        ("--gateway-url=http://127.0.0.1:9", False),
        ("--GatewayClient.url=http://127.0.0.1:9", False),
        ("--ServerApp.kernel_websocket_connection_class=other.Class", False),
    ],
)
def test_kernels_elsewhere_keep_their_own_connection(argument: str, ours: bool) -> None:
    command = run.program("lab", [argument])
    assert (run.QUICK in command) is ours
    assert command[-1] == argument
