"""The hand on a running loop: change settings, ask it to stop. Safe from any thread.

Pausing needs nothing here: whoever drives the loop stops asking for the next event.
"""

from __future__ import annotations

import math
import threading

from workbench.core.losses import check_parameter, find_loss
from workbench.errors import WorkbenchError


def check_setting(name: str, value: float | str) -> None:
    """Refuse a live setting that no run can use.

    Raises:
        WorkbenchError: naming the setting, the bad value and what is accepted.
    """
    if name == "loss":
        find_loss(value)
    elif name == "lr":
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not (numeric and math.isfinite(value) and value > 0):  # type: ignore[operator,arg-type]
            raise WorkbenchError(f"lr={value!r} is not accepted: a finite number above 0 is needed")
    elif name in ("beta", "label_smoothing"):
        check_parameter(name, value)
    else:
        accepted = "beta, lr, loss, label_smoothing"
        raise WorkbenchError(f"{name} can't be changed during a run; accepted: {accepted}")


class Control:
    """Pending changes of a run; the loop takes them before each step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: dict[str, float | str] = {}
        self._stop = threading.Event()

    def set(self, **settings: float | str) -> None:
        """Change `beta`, `lr`, `loss` or `label_smoothing` from the next step on.

        Raises:
            WorkbenchError: at once, for a value that can't be used; nothing is changed then.
        """
        for name, value in settings.items():
            check_setting(name, value)
        with self._lock:
            self._changes |= settings

    def take(self) -> dict[str, float | str]:
        """All changes since the last call."""
        with self._lock:
            changes, self._changes = self._changes, {}
        return changes

    def stop(self) -> None:
        """End the run after the present step; evaluation and checkpoint are still made."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()
