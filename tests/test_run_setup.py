"""The set-up of run.py without a network and without a real `.venv`: pip and venv are fakes."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import run

ROOT = Path(__file__).parents[1]
PEERS = ".[hub,test,bench]"


class Project:
    """A copy of run.py's world in a temporary folder; `installed` lists what pip was asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pyproject = folder / "pyproject.toml"
        self.pyproject.write_text("[project]\n")
        self.stamp = folder / ".venv" / "workbench-stamp"
        self.installed: list[tuple[str, ...]] = []
        self.fails_at: str | None = None
        self.found = "torch (2.15.0)\nAvailable versions: 2.15.0, 2.13.0+cpu, 2.13.0, 2.12.1\n"
        monkeypatch.setattr(subprocess, "run", self.list_versions)
        monkeypatch.setattr(run, "ROOT", folder)
        monkeypatch.setattr(run, "PYTHON", folder / ".venv" / "python")
        monkeypatch.setattr(run, "STAMP", self.stamp)
        monkeypatch.setattr(run, "PEERS_STAMP", folder / ".venv" / "peers-stamp")
        monkeypatch.setattr(run, "CONSTRAINTS", folder / ".venv" / "constraints.txt")
        monkeypatch.setattr(run, "make_venv", self.make_venv)
        monkeypatch.setattr(run, "install", self.install)

    def make_venv(self, version: tuple[int, int]) -> None:
        run.PYTHON.parent.mkdir(exist_ok=True)
        run.PYTHON.touch()

    def list_versions(
        self, command: list[str], **options: object
    ) -> "subprocess.CompletedProcess[str]":
        assert command == [str(run.PYTHON), "-m", "pip", "index", "versions", "torch"]
        return subprocess.CompletedProcess(command, 0 if self.found else 1, self.found, "")

    def install(self, *arguments: str) -> None:
        stamp = run.PEERS_STAMP if PEERS in arguments else self.stamp
        assert not stamp.exists(), "a stamp during the set-up survives an interruption"
        self.installed.append(arguments)
        if self.fails_at in arguments:
            raise KeyboardInterrupt


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def test_set_up_upgrades_pip_then_installs_the_project_with_its_extras(project: Project) -> None:
    run.set_up()
    first, second = project.installed
    assert first == ("--upgrade", "pip>=25.1")
    assert second[-2:] == ("--editable", ".[hub,test]")


def test_second_set_up_does_nothing(project: Project) -> None:
    run.set_up()
    run.set_up()
    assert len(project.installed) == 2


def test_changed_pyproject_is_installed_again(project: Project) -> None:
    run.set_up()
    project.pyproject.write_text("[project]\nname = 'other'\n")
    run.set_up()
    assert len(project.installed) == 4


def test_venv_that_lost_its_python_is_set_up_again(project: Project) -> None:
    run.set_up()
    run.PYTHON.unlink()
    run.set_up()
    assert len(project.installed) == 4


@pytest.mark.parametrize("moment", ["pip>=25.1", ".[hub,test]"])
def test_interrupted_set_up_is_done_again(project: Project, moment: str) -> None:
    """Also when pyproject.toml is back at the content of the last finished set-up."""
    run.set_up()
    original = project.pyproject.read_text()
    project.pyproject.write_text("[project]\nname = 'other'\n")
    project.fails_at = moment
    with pytest.raises(KeyboardInterrupt):
        run.set_up()
    project.pyproject.write_text(original)
    project.fails_at = None
    project.installed.clear()
    run.set_up()
    assert len(project.installed) == 2
    assert project.stamp.exists()


def test_peers_are_added_once_after_every_set_up(project: Project) -> None:
    for _ in range(2):
        run.set_up()
        run.add_peers()
    assert [arguments[-1] for arguments in project.installed] == ["pip>=25.1", ".[hub,test]", PEERS]
    project.pyproject.write_text("[project]\nname = 'other'\n")
    run.set_up()
    run.add_peers()
    assert [arguments[-1] for arguments in project.installed].count(PEERS) == 2


def test_interrupted_adding_of_peers_is_done_again(project: Project) -> None:
    run.set_up()
    project.fails_at = PEERS
    with pytest.raises(KeyboardInterrupt):
        run.add_peers()
    project.fails_at = None
    run.add_peers()
    assert run.PEERS_STAMP.read_text() == project.stamp.read_text()
    assert project.installed[-1][-1] == PEERS


@pytest.mark.parametrize("install", [run.set_up, run.add_peers])
def test_pip_is_held_to_the_torch_of_the_tests(
    project: Project, capsys: pytest.CaptureFixture[str], install: Callable[[], None]
) -> None:
    run.set_up()
    install()
    place = project.installed[-1].index("--constraint")
    assert project.installed[-1][place + 1] == str(run.CONSTRAINTS)
    assert run.CONSTRAINTS.read_text() == "torch==2.13.*\n"
    assert "torch" not in capsys.readouterr().out


@pytest.mark.parametrize("found", ["2.15.0, 2.14.1", "2.130.0, 12.13.0, 2.12.13.1", "2.1, 3"])
def test_another_torch_is_taken_where_there_is_none_for_this_python(
    project: Project, capsys: pytest.CaptureFixture[str], found: str
) -> None:
    project.found = f"torch (2.15.0)\nAvailable versions: {found}\n"
    run.set_up()
    assert run.CONSTRAINTS.read_text() == ""
    said = "No torch 2.13, the tested one, for this Python: taking another."
    assert capsys.readouterr().out.splitlines()[1:] == [said]


def test_pip_that_lists_nothing_is_not_taken_for_a_missing_torch(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a network, say; the installation that follows tells what is wrong."""
    project.found = ""
    run.set_up()
    assert run.CONSTRAINTS.read_text() == "torch==2.13.*\n"
    assert "No torch" not in capsys.readouterr().out


def test_another_torch_of_the_tests_is_installed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.set_up()
    monkeypatch.setattr(run, "TORCH", "2.12")
    run.set_up()
    assert len(project.installed) == 4
    assert run.CONSTRAINTS.read_text() == "torch==2.12.*\n"


def test_the_torch_of_the_tests_is_one_that_the_package_takes() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (needed,) = [line for line in metadata["dependencies"] if line.startswith("torch")]
    assert needed == "torch>=2.9,<2.16"
    assert Requirement(needed).specifier.contains(f"{run.TORCH}.0")


def test_fingerprint_changes_with_project_python_and_folder() -> None:
    prints = [
        run.fingerprint(b"a", (3, 11), Path("/here")),
        run.fingerprint(b"b", (3, 11), Path("/here")),
        run.fingerprint(b"a", (3, 12), Path("/here")),
        run.fingerprint(b"a", (3, 11), Path("/there")),
    ]
    assert len(set(prints)) == 4
    assert prints[0] == run.fingerprint(b"a", (3, 11), Path("/here"))


def test_supported_pythons_are_those_of_pyproject() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    accepted = SpecifierSet(metadata["requires-python"])
    candidates = [(3, minor) for minor in range(30)]
    assert list(run.SUPPORTED) == [v for v in candidates if accepted.contains("{}.{}".format(*v))]


@pytest.mark.parametrize("probe_code", [0, 1])
def test_venv_is_made_anew_only_where_its_python_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe_code: int
) -> None:
    made: list[list[str]] = []

    def call(command: list[str], **options: object) -> int:
        if command[0] == str(run.PYTHON):
            return probe_code
        made.append(command)
        return 0

    monkeypatch.setattr(run, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(subprocess, "call", call)
    run.PYTHON.touch()
    run.make_venv((3, 11))
    anew = [sys.executable, "-m", "venv", "--clear", str(run.VENV)]
    assert made == ([anew] if probe_code else [])


def fake_python(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let whatever `install` starts as pip be this Python running `script`."""
    start = subprocess.Popen

    def popen(command: list[str], **options: object) -> "subprocess.Popen[str]":
        assert command[1:4] == ["-m", "pip", "install"]
        return start([sys.executable, "-c", script], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", popen)


def test_failing_pip_shows_its_words_one_line_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_python(monkeypatch, "print('ERROR: No matching distribution'); exit(3)")
    with pytest.raises(SystemExit) as stopped:
        run.install("einops")
    assert stopped.value.code == 3
    words = capsys.readouterr().err.splitlines()
    assert "ERROR: No matching distribution" in words
    assert words[-1] == "pip failed, see above. Run the same command to try again."


def test_log_of_a_set_up_names_downloads_and_leaves_the_rest_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "Collecting a\\n  Downloading a.whl\\nProgress 1 of 4\\nProgress 0 of 0"
    fake_python(monkeypatch, f"print('{said}')")
    run.install("a")
    assert capsys.readouterr().out == "Downloading a.whl\n"


def test_terminal_shows_the_share_of_each_download(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    fake_python(monkeypatch, "print('Downloading a.whl\\nProgress 512 of 2048')")
    run.install("a")
    assert " 25 %  Downloading a.whl" in capsys.readouterr().out
