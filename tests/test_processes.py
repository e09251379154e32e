"""How the tests are spread over processes: how many there are, and what is handed out first."""

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

CONFTEST = runpy.run_path(str(Path(__file__).with_name("conftest.py")))


@pytest.mark.parametrize(
    ("cores", "full", "expected"), [(1, False, 0), (2, False, 2), (16, False, 4), (16, True, 0)]
)
def test_a_process_per_core_but_few_and_one_for_the_real_model(
    monkeypatch: pytest.MonkeyPatch, cores: int, full: bool, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    config = SimpleNamespace(getoption={"--full": full}.get)
    assert CONFTEST["pytest_xdist_auto_num_workers"](config) == expected


@pytest.fixture
def collected() -> list[Any]:
    """Stand-ins for collected tests, with the markers in their names."""

    def item(name: str) -> Any:
        markers = dict.fromkeys(name.split()[1:], True)
        return SimpleNamespace(name=name, get_closest_marker=markers.get)

    return [*map(item, ("a", "b long", "c browser", "d", "e long", "f browser"))]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"workerinput": {}}, ["c browser", "f browser", "b long", "e long", "a", "d"]),
        ({}, ["a", "b long", "c browser", "d", "e long", "f browser"]),
    ],
)
def test_what_takes_longest_begins_first_where_several_processes_test(
    collected: list[Any], config: dict[str, Any], expected: list[str]
) -> None:
    given = SimpleNamespace(getoption={"--full": True}.get, **config)
    CONFTEST["pytest_collection_modifyitems"](given, collected)
    assert [item.name for item in collected] == expected


def test_the_process_that_hands_out_tests_leaves_the_cache_as_the_person_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that those it starts know it; and they compute with one thread each."""
    monkeypatch.setenv("WORKBENCH_CACHE", "a person's")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    given = SimpleNamespace(getoption=lambda name, default: "worksteal")
    CONFTEST["pytest_configure"](given)
    assert os.environ["WORKBENCH_CACHE"] == "a person's"
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_a_process_that_tests_has_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", "a person's")
    cleanups: list[Callable[[], None]] = []
    given = SimpleNamespace(getoption=lambda name, default: "no", add_cleanup=cleanups.append)
    CONFTEST["pytest_configure"](given)
    folder = Path(os.environ["WORKBENCH_CACHE"])
    assert list(folder.iterdir()) == []
    for clean in cleanups:
        clean()
    assert not folder.exists()
