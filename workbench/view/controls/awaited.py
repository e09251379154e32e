"""What goes on elsewhere and can be waited for."""

from __future__ import annotations

import threading


class Awaited:
    """Something that is over when `_over` is set; `_error` is what ended it, if anything did."""

    _over: threading.Event
    _error: Exception | None

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it is over; whether it is. Raises the error that ended it."""
        over = self._over.wait(timeout)
        if over and self._error is not None:
            raise self._error
        return over
