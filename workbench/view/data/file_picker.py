"""The place to drop a file, the button to pick one, and the list of the files that are here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.data.pairs import SHIPPED
from workbench.errors import WorkbenchError
from workbench.view.data.kept_files import SUFFIXES, check_size, files_here, found_from, keep

FOLDER = Path(__file__).parent


class FilePicker(anywidget.AnyWidget):
    """A file of the person's computer, sent in parts and kept; or one of those in a list.

    The list is made anew whenever the pointer or the focus comes here, so that it shows a file that
    was dropped on the notebook's folder a moment ago.

    Attributes:
        files: what the list offers: shipped sets by name, then paths.
        chosen: the one of them that is chosen; "" for none.
        shipped: how many of them ship with the workbench.
    """

    _esm = FOLDER / "file_picker.js"
    files = traitlets.List(traitlets.Unicode()).tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    shipped = traitlets.Int(len(SHIPPED)).tag(sync=True)
    accepted = traitlets.Unicode(",".join(SUFFIXES)).tag(sync=True)

    def __init__(
        self, choose: Callable[[str, bool], None], refuse: Callable[[WorkbenchError], None]
    ) -> None:
        """`choose` gets what was chosen, and whether it is a new file; `refuse` what went wrong."""
        super().__init__()
        self._choose, self._refuse = choose, refuse
        self._parts: list[bytes] = []
        self.refresh()
        self.on_msg(self._hear)

    def refresh(self) -> None:
        """List the files that are here now, and the one that is chosen, while it exists."""
        files = [*SHIPPED, *map(str, files_here())]
        if self.chosen not in files:
            exists = self.chosen and Path(self.chosen).exists()
            self.chosen, files = (self.chosen, [*files, self.chosen]) if exists else ("", files)
        self.files = files

    def show(self, source: str) -> None:
        """Show this source as the one that is chosen."""
        self.chosen = source
        self.refresh()

    def reveal(self) -> None:
        """Scroll to the dashboard that was put below."""
        self.send({"reveal": True})

    def _hear(self, widget: Any, said: dict[str, Any], buffers: list[memoryview]) -> None:
        try:
            if "list" in said:
                self.refresh()
            elif "choose" in said:
                self._choose(said["choose"], False)
            elif "path" in said:
                self._choose(str(found_from(said["path"])), False)
            else:
                self._take(**said, part=bytes(buffers[0]))
        except WorkbenchError as error:
            self._parts = []
            self.send({"file": said.get("file"), "ended": True})
            self._refuse(error)

    def _take(self, file: int, name: str, size: int, start: int, part: bytes) -> None:
        """A part of a file; the next one is asked for, or the whole is kept."""
        if start == 0:
            check_size(name, size)
            self._parts = []
        self._parts.append(part)
        if start + len(part) < size:
            self.send({"file": file, "next": start + len(part)})
            return
        content, self._parts = b"".join(self._parts), []
        path, new = keep(name, content)
        self.send({"file": file, "ended": True})
        self._choose(str(path), new)
