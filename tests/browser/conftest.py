"""One JupyterLab for all tests of this folder, a browser per file; and the folder of the pictures.

Each test has a page with storage of its own and, in the server, its `tmp_path`; it leaves no
kernel and no setting behind. A browser that is driven from this process has an event loop here,
which tests of other folders must not find: so it ends with the file.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests are no package

from jupyter_page import end_kernels, jupyter_lab, new_page, running_browser
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with running_browser(chromium) as browser:
        yield browser


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with jupyter_lab(tmp_path_factory.getbasetemp()) as address:
        yield address


@pytest.fixture
def blank(browser: Browser) -> Iterator[Page]:
    """An empty page."""
    with new_page(browser) as page:
        yield page


@pytest.fixture
def lab(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a JupyterLab like new, in which a test's folder is named as `tmp_path` is."""
    yield server
    end_kernels(server)
    for kept in ("settings", "workspaces"):
        shutil.rmtree(tmp_path_factory.getbasetemp() / ".jupyter" / kept, ignore_errors=True)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where a test leaves pictures for people to look at."""
    folder = Path(os.environ.get("WORKBENCH_PICTURES", tmp_path / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
