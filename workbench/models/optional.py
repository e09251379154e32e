"""Packages that only other people's models need: they come with the extra `hub`."""

from importlib import import_module
from typing import Any

from workbench.errors import WorkbenchError


def optional(name: str) -> Any:
    """The package, imported. Raises WorkbenchError that names the extra where it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise WorkbenchError(
            f"this needs the package {name}: pip install 'dpo-workbench[hub]' ({error})"
        ) from error
