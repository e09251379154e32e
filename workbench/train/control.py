"""Changes to a running loop, from any thread: set live settings, stop it.

Pausing needs nothing here: whoever drives the loop stops asking for the next event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from workbench.train.settings import check_setting


class Control:
    """Pending changes of a run; the loop takes them before each step.

    `check` refuses a setting that no run, or this run, can use, see `check_setting`; `together` a
    set of changes that can't come into force together.
    """

    def __init__(
        self,
        check: Callable[[str, Any], None] = check_setting,
        together: Callable[[Mapping[str, Any]], None] = lambda changes: None,
    ) -> None:
        self._check, self._together = check, together
        self._lock = threading.Lock()
        self._changes: dict[str, Any] = {}
        self._stop = threading.Event()

    def set(self, **settings: Any) -> None:
        """Change `lr`, `loss` or a parameter of the loss from the next step on.

        Raises:
            WorkbenchError: at once, for a value that can't be used; nothing is changed then.
        """
        for name, value in settings.items():
            self._check(name, value)
        with self._lock:
            self._together(self._changes | settings)
            self._changes |= settings

    def take(self) -> dict[str, Any]:
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
