"""Run a notebook from top to bottom in a fresh kernel, with other parameters where wanted.

python tests/notebooks/runner.py [NAME ...]     run and save with the outputs of this run
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nbformat
from filelock import FileLock
from nbclient import NotebookClient
from nbformat import NotebookNode

from workbench.data.cache import cache_folder
from workbench.data.reviews.world import ReviewsConfig
from workbench.train.base_model import cached_base

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# The dashboard's twin trains within its cell; without a person nobody would press Start.
HEADLESS = {"live": False}


def read(path: Path) -> NotebookNode:
    """The notebook as it is on disk."""
    return nbformat.read(path, as_version=4)


def execute(
    notebook: NotebookNode, parameters: dict[str, object], timeout: float = 600
) -> NotebookNode:
    """Run it, outputs included; `parameters` are set behind the cell that is tagged for them."""
    place = next((i for i, c in enumerate(notebook.cells) if _takes_parameters(c)), None)
    if place is not None:
        source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(source))
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": NOTEBOOKS}},
    )
    client.execute()
    if place is not None:
        del notebook.cells[place + 1]
    return notebook


@contextmanager
def pretrained_once(notebook: NotebookNode) -> Iterator[None]:
    """Hold a notebook back while another process makes the base model that both need.

    The first one makes it, as a reader's first lesson does; the others find it in the cache.
    """
    if not any("tiny_base(" in cell.source for cell in notebook.cells):
        yield
        return
    with ExitStack() as held:
        held.enter_context(FileLock(cache_folder() / "base.lock"))
        if cached_base(ReviewsConfig()).exists():
            held.close()
        yield


def _takes_parameters(cell: NotebookNode) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def save(path: Path) -> None:
    """Run and write with outputs, without anything that belongs to this run's machine or time."""
    notebook = execute(read(path), HEADLESS)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        begin = time.perf_counter()
        save(NOTEBOOKS / f"{name}.ipynb")
        print(f"{name}: {time.perf_counter() - begin:.0f} s")
