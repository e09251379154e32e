"""What every test can count on: a cache of its own, and a clear reason for each test left out."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from workbench.data.cache import cache_folder

settings.register_profile("workbench", deadline=None)  # tests don't time things
settings.load_profile("workbench")

CACHE = "WORKBENCH_CACHE"
OWN_CACHE = os.environ.get(CACHE)  # what the person set, before the tests change it

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_PATHS = (  # where macOS and Windows keep it, away from PATH
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"%ProgramFiles%\Google\Chrome\Application\chrome.exe",
    r"%ProgramFiles(x86)%\Google\Chrome\Application\chrome.exe",
    r"%LocalAppData%\Google\Chrome\Application\chrome.exe",
    r"%LocalAppData%\Chromium\Application\chrome.exe",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the tests marked full, too")


def pytest_configure(config: pytest.Config) -> None:
    """Point the workbench at an empty cache, before any test or doctest is imported."""
    folder = TemporaryDirectory(prefix="workbench-cache-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ[CACHE] = folder.name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        skip = pytest.mark.skip(reason="marked full: add --full to run it")
        for item in items:
            if item.get_closest_marker("full") is not None:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def real_cache() -> Path:
    """The person's own cache folder, for tests of the real model, which must not be fetched anew.

    Only the path: `cache_folder()` keeps pointing at the empty one.
    """
    with pytest.MonkeyPatch.context() as environment:
        if OWN_CACHE is None:
            environment.delenv(CACHE)
        else:
            environment.setenv(CACHE, OWN_CACHE)
        return cache_folder()


def find_chromium() -> str | None:
    """The browser for playwright: WORKBENCH_CHROMIUM, or the first one found on this system."""
    if chosen := os.environ.get("WORKBENCH_CHROMIUM"):
        return chosen
    candidates = [*map(shutil.which, CHROMIUM_NAMES), *map(os.path.expandvars, CHROMIUM_PATHS)]
    return next((path for path in candidates if path and Path(path).is_file()), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; without one the test is skipped, or fails where CI promises one."""
    if path := find_chromium():
        return path
    reason = (
        "no Chromium found: install it (Debian: apt install chromium; macOS: brew install "
        "--cask chromium; Windows: Google Chrome) or set WORKBENCH_CHROMIUM to its path"
    )
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
