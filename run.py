"""Set the workbench up and open it.

usage: python run.py [command] [arguments]

  lab      open JupyterLab on the first notebook (the default, also where the first argument is
           an option); arguments go to JupyterLab, as --ServerApp.port=8899;
           notebooks/mine/ gets a copy without solutions of every notebook with exercises
  setup    make or renew .venv, then stop
  test     check style, layers and types, then run the tests; arguments go to pytest,
           --full adds the tests that take minutes, -n 0 runs all of them in one process
  bench    measure the workbench and its peers; --help lists what there is
  train, sample, evaluate, compare, methods, sweep, constitution, preflight, doctor, track,
  export, set
           the same as python -m workbench ...; add --help to see what each takes

Every command sets the workbench up first where that is still to be done.
"""

# Standard library only, because nothing else is installed yet. The set-up goes into .venv beside
# this file; a stamp, written last, tells the next call that there is nothing left to do.
from __future__ import annotations

import hashlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "workbench-stamp"
PEERS_STAMP = VENV / "peers-stamp"
CONSTRAINTS = VENV / "constraints.txt"
SUPPORTED = ((3, 11), (3, 12), (3, 13), (3, 14))
TORCH = "2.13"  # what the tests run on; pyproject.toml takes newer ones, which are larger
# Read by a JupyterLab that is started from .venv; what a person sets in the browser comes first.
LAB_DEFAULTS = VENV / "etc" / "jupyter" / "labconfig" / "default_setting_overrides.json"
QUICK = (  # small messages to the page leave at once
    "--ServerApp.kernel_websocket_connection_class=workbench.cli.quick_connection.QuickConnection"
)
NO_NEWS = {  # otherwise a question about it covers the first page
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}
}
FORWARDED = (
    "train", "sample", "evaluate", "compare", "methods", "sweep", "constitution", "preflight",
    "doctor", "track", "export", "set",
)  # fmt: skip
CHECKS = {  # what `test` runs before pytest, as arguments of Python
    "ruff check": ["-m", "ruff", "check"],
    "ruff format --check": ["-m", "ruff", "format", "--check"],
    "lint-imports": ["-c", "from importlinter.cli import lint_imports_command as c; c()"],
    "mypy": ["-m", "mypy", "workbench", "run.py"],
}


def stop(message: str, code: int = 1) -> NoReturn:
    """End with one line that says why."""
    print(message, file=sys.stderr)
    sys.exit(code)


def load(name: str) -> dict[str, Any]:
    """What a file of workbench/cli defines, without the package, which needs the set-up."""
    return runpy.run_path(str(ROOT / "workbench" / "cli" / f"{name}.py"))


def start_again(arguments: list[str]) -> int:
    """Let a Python that the workbench runs on do it, or say which ones those are."""
    found = "{}.{}".format(*sys.version_info)
    if command := load("find_python")["find_python"](SUPPORTED, first=str(PYTHON)):
        print(f"This is Python {found}; {' '.join(command)} goes on.", file=sys.stderr)
        return hand_over([*command, str(ROOT / "run.py"), *arguments])
    accepted = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
    stop(f"The workbench runs on Python {accepted}; this is {found}, and the PATH has no other.")


def fingerprint(pyproject: bytes, version: tuple[int, int], folder: Path) -> str:
    """Hash of all that an installed `.venv` depends on; a different one means: set up again."""
    parts = (pyproject, TORCH.encode(), repr(version).encode(), os.fsencode(folder))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def set_up() -> None:
    """Bring `.venv` up to date with pyproject.toml; returns at once where it already is."""
    version = sys.version_info[:2]
    wanted = fingerprint((ROOT / "pyproject.toml").read_bytes(), version, ROOT)
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="ascii") == wanted:
        return
    print("Setting up .venv (once; takes a few minutes) ...", flush=True)
    STAMP.unlink(missing_ok=True)  # else an interrupted renewal could pass for a finished one
    make_venv(version)
    install("--upgrade", "pip>=25.1")  # the pip that comes with Python cannot resume downloads
    choose_torch()
    install_project("hub,test")
    leave_stamp(STAMP, wanted)


def add_peers() -> None:
    """Install what the benchmarks compare with, once after every set-up."""
    wanted = STAMP.read_text(encoding="ascii")
    if PEERS_STAMP.exists() and PEERS_STAMP.read_text(encoding="ascii") == wanted:
        return
    print("Adding what the benchmarks compare with (once) ...", flush=True)
    PEERS_STAMP.unlink(missing_ok=True)
    install_project("hub,test,bench")
    leave_stamp(PEERS_STAMP, wanted)


def choose_torch() -> None:
    """Hold pip to the torch that the tests run on, unless there is none for this Python."""
    command = [str(PYTHON), "-m", "pip", "index", "versions", "torch"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    # Where pip cannot list them, let the installation say why.
    found = asked.returncode != 0 or f" {TORCH}." in asked.stdout
    if not found:
        print(f"No torch {TORCH}, the tested one, for this Python: taking another.", flush=True)
    CONSTRAINTS.write_text(f"torch=={TORCH}.*\n" if found else "", encoding="ascii")


def install_project(extras: str) -> None:
    """Install the workbench from this folder, with these extras of pyproject.toml."""
    torch = ("--constraint", str(CONSTRAINTS))
    install("--progress-bar", "raw", *torch, "--editable", f".[{extras}]")


def leave_stamp(stamp: Path, text: str) -> None:
    """Write `stamp` in one step, so that no half of it is ever there."""
    unfinished = stamp.with_suffix(".part")
    unfinished.write_text(text, encoding="ascii")
    os.replace(unfinished, stamp)


def make_venv(version: tuple[int, int]) -> None:
    """Make `.venv` anew, unless there is one with a pip and a Python of this version."""
    probe = f"import pip, sys; sys.exit(sys.version_info[:2] != {version})"
    check = [str(PYTHON), "-c", probe]
    if PYTHON.exists() and subprocess.call(check, stderr=subprocess.DEVNULL) == 0:
        return
    if code := subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]):
        stop(f"python -m venv could not make {VENV}, see above.", code)


def install(*arguments: str) -> None:
    """Run `pip install` on one line that keeps changing; all that pip said, only if it fails."""
    said = deque([""], maxlen=30)
    with subprocess.Popen(
        [str(PYTHON), "-m", "pip", "install", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    ) as process:
        for line in map(str.strip, process.stdout or ()):
            if line.startswith("Progress "):  # "Progress BYTES of BYTES", from the raw bar
                _, done, _, total = line.split()
                show(f"{100 * int(done) // max(int(total), 1):3} %  {said[-1]}")
            else:
                said.append(line)
                show(line, lasting=line.startswith(("Downloading", "Installing")))
    show("")
    if process.returncode:
        print(*said, sep="\n", file=sys.stderr)
        stop("pip failed, see above. Run the same command to try again.", process.returncode)


def show(text: str, lasting: bool = False) -> None:
    """Replace the terminal's last line; a log gets only the lines that are to last."""
    width = shutil.get_terminal_size().columns - 1
    if sys.stdout.isatty():
        print(f"\r{text[:width]:{width}}\r", end="", flush=True)
    elif lasting:
        print(text[:width], flush=True)


def has_browser(platform: str, environment: dict[str, str]) -> bool:
    """Whether a browser opened here appears before the person who typed the command."""
    if "BROWSER" in environment:
        return True
    if "SSH_CONNECTION" in environment:
        return False
    return platform != "linux" or not environment.keys().isdisjoint({"DISPLAY", "WAYLAND_DISPLAY"})


def lab_options() -> list[str]:
    """JupyterLab for this machine alone, behind its token, on the first notebook."""
    options = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={ROOT}",
        "--LabApp.default_url=/lab/tree/notebooks/00_start.ipynb",
    ]
    if not has_browser(sys.platform, dict(os.environ)):
        options.append("--no-browser")  # JupyterLab prints the address in any case
    if os.name == "posix" and os.geteuid() == 0:
        options.append("--allow-root")  # in a container there is nobody else to be
    return options


def local_kernels(arguments: list[str]) -> bool:
    """Whether kernels run here, and nobody chose how pages are connected with them."""
    others = ("--gateway-url", "--GatewayClient.", QUICK.partition("=")[0])
    return "JUPYTER_GATEWAY_URL" not in os.environ and not any(
        argument.startswith(others) for argument in arguments
    )


def set_lab_defaults() -> None:
    """Let JupyterLab open without a question about news."""
    LAB_DEFAULTS.parent.mkdir(parents=True, exist_ok=True)
    LAB_DEFAULTS.write_text(json.dumps(NO_NEWS), encoding="ascii")


def program(command: str, arguments: list[str]) -> list[str]:
    """What Python is to run for a command, with the person's arguments untouched at the end."""
    if command == "lab":
        quick = [QUICK] if local_kernels(arguments) else []
        return ["-m", "jupyterlab", *lab_options(), *quick, *arguments]
    if command == "test":
        return ["-m", "pytest", "-n", "auto", "--dist", "worksteal", *arguments]
    if command == "bench":
        return [str(ROOT / "benchmarks" / "run.py"), *arguments]
    return ["-m", "workbench", command, *arguments]


def hand_over(command: list[str]) -> int:
    """Let `command` take this process's place, so that Ctrl-C and exit code are its own."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows: Ctrl-C is for the command alone
    return subprocess.call(command)


def main(arguments: list[str]) -> int:
    """Do what the command line asks; returns the exit code."""
    if arguments[:1] in (["-h"], ["--help"], ["help"]):
        print(__doc__)
        return 0
    named = bool(arguments) and not arguments[0].startswith("-")
    command, *rest = arguments if named else ["lab", *arguments]
    if command not in ("lab", "setup", "test", "bench", *FORWARDED):
        print(f"Unknown command: {command}\n\n{__doc__}", file=sys.stderr)
        return 2
    if sys.version_info[:2] not in SUPPORTED:
        return start_again(arguments)
    # Threads that wait spin for some microseconds, then sleep: spinning on slows training tenfold
    # beside other programs, sleeping at once by a sixth at any time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Compiled products of past shapes are forgotten: kept, they take half a gigabyte.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
    set_up()
    if command == "setup":
        return 0
    if command == "lab":
        set_lab_defaults()
        for line in load("unsolved")["write_copies"](ROOT / "notebooks"):
            print(line)
    if command == "bench" and rest[:1] != ["papers"]:  # these need no other library
        add_peers()
    if command == "test":
        os.chdir(ROOT)
        for heading, check in CHECKS.items():
            print(f"\n== {heading}", flush=True)
            if code := subprocess.call([str(PYTHON), *check]):
                return code
        print("\n== pytest", flush=True)
    return hand_over([str(PYTHON), *program(command, rest)])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        stop("\nInterrupted.", 130)
