"""Packages that only models from outside need; an extra installs them."""

from importlib import import_module
from typing import Any

from workbench.errors import WorkbenchError


def optional(name: str, extra: str = "hub") -> Any:
    """The imported package. Where it is missing, raises a WorkbenchError that names the extra."""
    try:
        return import_module(name)
    except ImportError as error:
        raise WorkbenchError(
            f"this needs the package {name}: pip install 'dpo-workbench[{extra}]' ({error})"
        ) from error
