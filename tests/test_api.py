"""The public names load when first used, and docs/api.md lists all of them and runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import workbench

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
STUBS = sorted((ROOT / "workbench").rglob("__init__.pyi"))
PACKAGES = [".".join(stub.parent.relative_to(ROOT).parts) for stub in STUBS]
PUBLIC = [*PACKAGES, "workbench.exercises"]
AT_ONCE = """
import sys
import workbench
assert len(dir(workbench)) > 20
print(*{"torch", "numpy", "pandas", "matplotlib", "ipywidgets"} & sys.modules.keys())
"""


def in_fresh_process(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ran.stdout


def test_importing_the_package_loads_nothing_large() -> None:
    assert in_fresh_process(AT_ONCE).strip() == ""


def test_names_of_settings_and_errors_load_no_torch() -> None:
    names = "LOSSES, PairLogps, ReviewsConfig, SamplingConfig, TrainConfig, WorkbenchError"
    code = f"import sys\nfrom workbench import {names}\nassert 'torch' not in sys.modules"
    in_fresh_process(code)


def test_a_world_is_all_that_a_process_needs_to_load() -> None:
    """The registry of losses is full although nobody asked for a loss."""
    code = "from workbench.core import TabularWorld\nTabularWorld.example().optimum(0.5)"
    in_fresh_process(code)


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_resolves(package: str) -> None:
    module = import_module(package)
    assert module.__all__
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is getattr(module, name)


@pytest.mark.parametrize("stub", STUBS, ids=PACKAGES)
def test_a_stub_re_exports_each_name_once(stub: Path) -> None:
    """`import X as X` is how a stub says that a name is meant for others."""
    lines = stub.read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"from \.[\w.]* import (\w+) as \1", line) for line in lines if line]
    assert all(found), lines
    names = [match[1] for match in found if match]
    assert len(names) == len(set(names))


def test_a_name_of_the_top_level_is_the_one_of_its_package() -> None:
    packages = [import_module(name) for name in PUBLIC if name != "workbench"]
    for name in set(workbench.__all__) - {"WorkbenchError"}:
        homes = [module for module in packages if name in module.__all__]
        assert len(homes) == 1, name
        assert getattr(workbench, name) is getattr(homes[0], name)


def test_a_function_is_not_hidden_by_the_module_of_its_name() -> None:
    for path in ("runs.sweep",):
        package, _, name = f"workbench.{path}".rpartition(".")
        module = sys.modules.get(f"workbench.{path}") or import_module(f"workbench.{path}")
        assert getattr(import_module(package), name) is getattr(module, name)


def test_the_page_lists_every_public_name_and_no_other() -> None:
    top = set(workbench.__all__)
    expected = {f"workbench.{name}" for name in top}
    for package in PUBLIC:
        if package != "workbench":
            expected |= {f"{package}.{name}" for name in set(import_module(package).__all__) - top}
    listed = re.findall(r"^\| `(workbench[\w.]*)` \|", PAGE, re.MULTILINE)
    names = [name for name in listed if name not in PUBLIC]
    assert sorted(names) == sorted(expected)
    assert set(listed) - set(names) == set(PUBLIC)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_of_the_page_run(number: int) -> None:
    exec(compile(BLOCKS[number], f"docs/api.md, example {number}", "exec"), {})


def test_notebooks_import_from_public_packages_only() -> None:
    pattern = re.compile(r'^\s*"?(?:from|import) (workbench[\w.]*)', re.MULTILINE)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        used = set(pattern.findall(path.read_text(encoding="utf-8")))
        assert used <= set(PUBLIC), path.name
