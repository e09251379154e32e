"""environment.yml agrees with pyproject.toml, and lists nothing that stands there already."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def environment() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def test_python_is_a_version_that_the_project_accepts(
    project: dict[str, Any], environment: dict[str, Any]
) -> None:
    name, _, version = environment["dependencies"][0].partition("=")
    assert name == "python"
    assert SpecifierSet(project["requires-python"]).contains(version)


def test_everything_else_is_left_to_the_project(
    project: dict[str, Any], environment: dict[str, Any]
) -> None:
    """A package named here as well would be a second list, and one of the two would go stale."""
    assert environment["dependencies"][1:] == ["pip", {"pip": ["-e .[hub]"]}]
    assert "hub" in project["optional-dependencies"]


def test_packages_come_from_conda_forge_alone(environment: dict[str, Any]) -> None:
    assert environment["channels"] == ["conda-forge"]
