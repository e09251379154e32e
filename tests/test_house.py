"""Order in the package: few files per folder, short files, unique names, no circles of imports.

Every rule is a function that names what breaks it, and is shown to notice it on a small tree.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "workbench"
FILES, LINES = 12, 250
ALIKE = ("__init__.py", "config.py")  # names that any folder may use


def sources(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def folders(package: Path) -> list[Path]:
    """All that hold anything but what Python itself leaves there, or what the HTML is made of."""
    files = (path for path in package.rglob("*") if path.is_file())
    other = ("__pycache__", "templates", "static")
    return sorted({path.parent for path in files if path.parent.name not in other} | {package})


def crowded(package: Path) -> list[str]:
    """Folders with too many Python files."""
    found = Counter(path.parent for path in sources(package) if path.name != "__init__.py")
    return [f"{folder}: {count} files" for folder, count in found.items() if count > FILES]


def long(package: Path) -> list[str]:
    """Files with too many lines."""
    counted = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(package)
    }
    return [f"{path}: {lines} lines" for path, lines in counted.items() if lines > LINES]


def namesakes(package: Path) -> list[str]:
    """Files of one name in different folders; one in `view` may have the name of what it draws."""
    found: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for path in sources(package):
        if path.name not in ALIKE:
            found[path.name, path.is_relative_to(package / "view")].append(str(path))
    return [" and ".join(paths) for paths in found.values() if len(paths) > 1]


def undescribed(package: Path) -> list[str]:
    """Folders whose `__init__.py` is missing or says nothing."""
    return [str(folder) for folder in folders(package) if not description(folder)]


def description(folder: Path) -> str:
    file = folder / "__init__.py"
    if not file.exists():
        return ""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").strip()


def circles(package: Path) -> list[str]:
    """A circle of imports between files, wherever in the files the imports stand."""
    modules = {module_name(path, package): path for path in sources(package)}
    graph = {name: set(imported(name, path, modules)) for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imported(name: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that one of them imports."""
    around = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = around.split(".")[: len(around.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            found = [one if one in modules else base for one in names]
        else:
            continue
        yield from (one for one in found if one in modules)


RULES = [crowded, long, namesakes, undescribed, circles]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_workbench_is_in_order(rule: Callable[[Path], list[str]]) -> None:
    assert rule(PACKAGE) == []


# -- that the rules notice ------------------------------------------------------------------------

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a package of these files, each folder described."""

    def write(files: dict[str, str]) -> Path:
        package = tmp_path / "house"
        for name, text in files.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for folder in folders(package):
            if not (folder / "__init__.py").exists():
                (folder / "__init__.py").write_text('"""A room."""')
        return package

    return write


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_tree_in_order_breaks_no_rule(make: Make, rule: Callable[[Path], list[str]]) -> None:
    files = {f"core/file_{number}.py": "" for number in range(FILES)}
    files |= {"core/config.py": "", "data/config.py": "", "core/tokens.py": "\n" * LINES}
    del files["core/file_0.py"], files["core/file_1.py"]
    files["view/html/tokens.py"] = "from house.core import config, tokens\nimport house.data.config"
    files["view/page.py"] = "import os.path\nfrom . import html\nfrom .html.tokens import show"
    assert rule(make(files)) == []


def test_a_thirteenth_file_is_too_many(make: Make) -> None:
    package = make({f"core/file_{number}.py": "" for number in range(FILES + 1)})
    assert crowded(package) == [f"{package / 'core'}: 13 files"]


def test_files_of_a_subfolder_are_not_counted_above(make: Make) -> None:
    files = {f"core/file_{number}.py": "" for number in range(FILES)}
    assert crowded(make(files | {"core/fast/file.py": "", "core/data.json": "{}"})) == []


def test_a_file_of_251_lines_is_too_long(make: Make) -> None:
    package = make({"core/a.py": "\n" * (LINES + 1), "core/b.py": "\n" * LINES})
    assert long(package) == [f"{package / 'core' / 'a.py'}: 251 lines"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("core/a.py", "data/a.py"), ("a.py", "core/fast/a.py"), ("view/html/a.py", "view/plot/a.py")],
)
def test_two_files_of_one_name_are_noticed(make: Make, one: str, other: str) -> None:
    package = make({one: "", other: "", "view/a.py" if "view" not in one else "a.py": ""})
    assert namesakes(package) == [f"{package / one} and {package / other}"]


@pytest.mark.parametrize("text", ["", '""""""', '"""  """', "import os", "#: no docstring"])
def test_a_folder_that_is_not_described_is_noticed(make: Make, text: str) -> None:
    package = make({"core/__init__.py": text, "core/a.py": ""})
    assert undescribed(package) == [str(package / "core")]


def test_a_folder_without_init_is_noticed_whatever_it_holds(make: Make) -> None:
    package = make({"data/pairs.jsonl": "{}", "core/a.py": ""})
    (package / "data" / "__init__.py").unlink()
    (package / "core" / "__pycache__").mkdir()
    (package / "core" / "__pycache__" / "a.pyc").touch()
    assert undescribed(package) == [str(package / "data")]


@pytest.mark.parametrize(
    "back",
    [
        "from house.core.a import x",
        "from house.core import a",
        "import house.core.a",
        "import house.core.a as other",
        "from ..core.a import x",
        "from ..core import a",
        "def later():\n    from house.core.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.core.a import x",
    ],
)
def test_a_circle_is_noticed_wherever_its_imports_stand(make: Make, back: str) -> None:
    package = make({"core/a.py": "from house.data.b import y", "data/b.py": back})
    (circle,) = circles(package)
    assert sorted(set(circle.split(" imports "))) == ["house.core.a", "house.data.b"]


def test_a_circle_of_three_and_one_through_a_folder_are_noticed(make: Make) -> None:
    three = {"a.py": "import house.b", "b.py": "from . import c", "c.py": "from .a import x"}
    (circle,) = circles(make(three))
    assert circle in {
        "house.a imports house.b imports house.c imports house.a",
        "house.b imports house.c imports house.a imports house.b",
        "house.c imports house.a imports house.b imports house.c",
    }


def test_a_circle_through_what_a_folder_exports_is_noticed(make: Make) -> None:
    exports = '"""A room."""\nfrom house.core.a import x'
    package = make({"core/__init__.py": exports, "core/a.py": "from house.core import x"})
    assert len(circles(package)) == 1
