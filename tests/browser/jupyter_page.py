"""A notebook in a real JupyterLab in a real browser, apart from any other on the machine."""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

TOKEN = "only-for-this-test"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
READ_IMAGE = "new Uint8Array(await (await fetch(image.src)).arrayBuffer())"
PATIENCE = 20_000  # ms
# What must be shown as it stands, wherever it comes from.
HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "&amp; &lt;b&gt;",
    "<|endoftext|>",
    "</script>",
    "\u202eto the left\u202c",
    "zero\u200bwidth",
    r"$5 or $6, $$a$$, \(x\), \begin{a}b\end{a}",
)
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


def find_chromium() -> str | None:
    """The browser that the tests use."""
    return runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["find_chromium"]()


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of code cells."""
    code = [
        {
            "cell_type": "code", "id": f"cell-{number}", "metadata": {}, "outputs": [],
            "execution_count": None, "source": source,
        }
        for number, source in enumerate(cells)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "cells": code, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5
    }  # fmt: skip
    path.write_text(json.dumps(notebook), encoding="utf-8")


@contextmanager
def jupyter_lab(folder: Path, theme: str = "light") -> Iterator[str]:
    """A server over `folder`, with settings of its own; gives its address."""
    own = folder / ".jupyter"
    settings = own / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        json.dumps(
            {
                "@jupyterlab/apputils-extension:notification": {
                    "fetchNews": "false", "checkForUpdates": False,
                },
                "@jupyterlab/apputils-extension:themes": {"theme": THEMES[theme]},
            }
        )
    )  # fmt: skip
    places = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run",
        "IPYTHONDIR": "ipython", "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }  # fmt: skip
    environment = os.environ | {name: str(own / place) for name, place in places.items()}
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
        runpy.run_path(str(Path(__file__).parents[2] / "run.py"))["QUICK"],
    ]  # fmt: skip
    with (folder / ".server.log").open("wb") as log:
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(address, server, folder / ".server.log")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


def end_kernels(address: str) -> None:
    """Shut down what the notebooks have left running."""
    for kernel in json.load(ask(address, "kernels")):
        ask(address, f"kernels/{kernel['id']}", "DELETE")


def ask(address: str, what: str, method: str = "GET") -> HTTPResponse:
    """The server's answer to one request."""
    request = urllib.request.Request(f"{address}/api/{what}?token={TOKEN}", method=method)
    return urllib.request.urlopen(request, timeout=60)


@contextmanager
def running_browser(chromium: str) -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Browser) -> Iterator[Page]:
    """An empty page, with storage of its own."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    try:
        yield page
    finally:
        page.close()


@contextmanager
def browser_page(chromium: str) -> Iterator[Page]:
    """An empty page of a browser of its own."""
    with running_browser(chromium) as browser, new_page(browser) as page:
        yield page


def open_notebook(page: Page, address: str, name: str) -> None:
    """Open one notebook alone and wait until its kernel is ready to work."""
    page.goto(f"{address}/doc/tree/{name}?token={TOKEN}")
    # The status indicator says idle before the kernel is connected.
    page.wait_for_function(f"{KERNEL}?.status === 'idle'", timeout=60_000)


def run_all(page: Page) -> None:
    """Run every cell of the notebook."""
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")


def note_errors(page: Page, errors: list[str]) -> None:
    """Add to `errors` whatever the page complains of."""
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))


def picture_bytes(picture: Locator) -> tuple[int, str]:
    """Size and hash of the picture that an <img> shows."""
    data = picture.evaluate(f"async image => Array.from({READ_IMAGE})")
    return len(data), hashlib.sha256(bytes(data)).hexdigest()


def wait_for_change(picture: Locator, before: tuple[int, str]) -> None:
    """Wait until an <img> shows another picture than `before`."""
    deadline = time.monotonic() + PATIENCE / 1000
    while picture_bytes(picture) == before:
        assert time.monotonic() < deadline, "the picture stays the same"
        picture.page.wait_for_timeout(50)
