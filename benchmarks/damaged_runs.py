"""Run folders damaged at random: is what is damaged named, and does nothing differ in silence?

    python -m benchmarks.faults runs [--count N] [--seed N]

Each folder is that of a run that was interrupted or has finished, with one file changed: bits
flipped, cut, emptied, deleted, filled with something else, a value changed by hand; or with
strangers among the checkpoints. It is listed, read, evaluated, diagnosed, and an interrupted one
resumed to its end. What passes is the same result as without damage, or one line that names what is
wrong. A failure is a traceback, an error of several lines or without the folder's name, or another
result without a warning.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.small_runs import differences, make_inputs, outcome, start
from workbench.errors import WorkbenchError
from workbench.runs.doctor import diagnose
from workbench.runs.folder.kept_runs import read_run
from workbench.runs.reopen import load_run
from workbench.runs.run import Run

LEFT_AT = 10  # steps after which the run is interrupted; checkpoints come at 3, 6 and 9
SAME, NAMED, REFUSED = "same result", "named in a warning, same result", "refused in one line"
OTHER = "named in a warning, another result"


class Damaged:
    """Runs to be damaged, with what they come to."""

    def __init__(self, folder: Path) -> None:
        self.inputs = folder
        make_inputs(folder)
        self.finished, self.interrupted = folder / "finished", folder / "interrupted"
        for _ in start(folder, self.finished):
            pass
        self.whole = outcome(self.finished)
        run = start(folder, self.interrupted)
        while run.step < LEFT_AT:
            next(run)
        assert run.record is not None
        run.record.release()
        self.evaluated = {path: load_run(path).evaluate() for path in self.sources}

    @property
    def sources(self) -> tuple[Path, Path]:
        """The whole folders."""
        return self.finished, self.interrupted

    def copy(self, number: int, rng: random.Random) -> tuple[Path, Path, str]:
        """A damaged copy, its source, and what was done."""
        source = rng.choice((self.finished, self.interrupted, self.interrupted))
        folder = self.inputs / f"damaged-{number}"
        shutil.copytree(source, folder)
        return folder, source, damage(folder, rng)


def damage(folder: Path, rng: random.Random) -> str:
    """Change something in a run's folder; what, in words."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    path = rng.choice(files)
    content, where = bytearray(path.read_bytes()), str(path.relative_to(folder))
    what = rng.randrange(10)
    if what == 0:
        path.unlink()
        return f"{where} deleted"
    if what == 1:
        path.write_bytes(b"")
        return f"{where} emptied"
    if what == 2:
        path.write_bytes(content[: rng.randint(0, len(content))])
        return f"{where} cut"
    if what == 3:
        path.write_bytes(rng.choice((b"{}", b"[]", b"null", b"\0" * len(content), b"[" * 5000)))
        return f"{where} is something else"
    if what == 4 and (numbers := [*re.finditer(rb"(?<![\w.])\d+(?![\w.])", bytes(content))]):
        found = rng.choice(numbers)
        content[found.start() : found.end()] = str(rng.choice((0, 1, 3, 10**9))).encode()
        path.write_bytes(content)
        return f"a number changed in {where}"
    if what == 5:
        return _stranger(folder / "checkpoints", rng)
    if what == 6:
        checkpoint = rng.choice(sorted((folder / "checkpoints").glob("step-*")))
        shutil.rmtree(checkpoint)
        return f"{checkpoint.name} deleted"
    for _ in range(rng.choice((1, 1, 1, 4)) if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return f"bits flipped in {where}"


def _stranger(checkpoints: Path, rng: random.Random) -> str:
    """Something among the checkpoints that is none."""
    name = rng.choice(("step-", "step-abc", "notes.txt", "step-000099", "step--1", "step-1e3"))
    path = checkpoints / name
    kind = rng.randrange(3)
    if kind == 0:
        path.write_text("x")
    elif kind == 1:
        path.mkdir()
    else:
        os.symlink(rng.choice((".", "nowhere", "step-000003")), path)
    return f"a stranger: {name}"


def _told(action: Callable[[], Any], folder: Path) -> tuple[Any, str, bool]:
    """The result of an action, or why it failed (traceback or line), and whether it warned."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            return action(), "", any(issubclass(one.category, UserWarning) for one in said)
        except WorkbenchError as error:
            text = str(error)
            named = folder.name in text or "no file" in text or "is unknown; accepted" in text
            return None, "" if named and "\n" not in text else f"an error like {text!r}", True
        except Exception:
            return None, traceback.format_exc(), False


def problems(damaged: Damaged, folder: Path, source: Path) -> tuple[list[str], str]:
    """What goes wrong with a folder, and how a resumed one ends."""
    found = []
    _, why, _ = _told(lambda: read_run(folder), folder)
    found += [f"listed: {why}"] if why else []
    _, why, _ = _told(lambda: diagnose(folder), folder)
    found += [f"diagnosed: {why}"] if why else []
    values, why, warned = _told(lambda: load_run(folder).evaluate(), folder)
    found += [f"evaluated: {why}"] if why else []
    if values is not None and not warned and values != damaged.evaluated[source]:
        found.append("evaluated: another result in silence")
    if source == damaged.finished:
        return found, ""

    def to_the_end() -> dict[str, Any]:
        for _ in Run.resume(folder):
            pass
        return outcome(folder)

    result, why, warned = _told(to_the_end, folder)
    if why:
        return [*found, f"resumed: {why}"], ""
    if result is None:
        return found, REFUSED
    parts = differences(result, damaged.whole)
    if parts and not warned:
        return [*found, f"resumed: other {', '.join(parts)} in silence"], ""
    return found, (OTHER if parts else NAMED) if warned else SAME


def run(folders: int, seed: int, tell: Callable[[str], None]) -> int:
    """The number of folders with a problem; each is told with its seed."""
    with TemporaryDirectory() as name:
        return run_on(Damaged(Path(name)), folders, seed, tell)


def run_on(damaged: Damaged, folders: int, seed: int, tell: Callable[[str], None]) -> int:
    """The same with runs that were made before."""
    bad, ends = 0, Counter[str]()
    for number in range(seed, seed + folders):
        folder, source, what = damaged.copy(number, random.Random(number))
        found, end = problems(damaged, folder, source)
        ends[end] += bool(end)
        bad += bool(found)
        for problem in found:
            tell(f"seed {number}, {source.name} run, {what}: {problem}")
        if end == OTHER:
            tell(f"seed {number}, {what}: {end}")
        with suppress(OSError):
            shutil.rmtree(folder)
    told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()) if end)
    tell(f"{folders} folders, {bad} with a problem; resumed: {told}")
    return bad
