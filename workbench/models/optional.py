"""Packages that only models from outside need; the extra `hub` installs them."""

from importlib import import_module
from typing import Any

from workbench.errors import WorkbenchError


def optional(name: str) -> Any:
    """The imported package. Where it is missing, raises a WorkbenchError that names the extra."""
    try:
        return import_module(name)
    except ImportError as error:
        raise WorkbenchError(
            f"this needs the package {name}: pip install 'dpo-workbench[hub]' ({error})"
        ) from error
