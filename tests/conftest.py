"""What every test can count on: a cache of its own, a clear reason for each test left out, a very
small base model, and runs made of it in some tenths of a second each."""

from __future__ import annotations

import copy
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import settings

from workbench.data.cache import cache_folder
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.data.tokenizer import Tokenizer
from workbench.models.load import Model, save_model
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, new_model, pretrain
from workbench.train.config import TrainConfig
from workbench.train.events import Event

settings.register_profile("workbench", deadline=None)  # tests don't time things
settings.load_profile("workbench")

CACHE = "WORKBENCH_CACHE"
OWN_CACHE = os.environ.get(CACHE)  # what the person set, before the tests change it

FIRST = ("browser", "long")  # markers

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `-n auto` starts; 0: this one runs all tests itself.

    More than four would wait for the longest notebook. The real model, which --full adds, takes all
    cores and gigabytes, so there is one at a time.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return 0 if cores == 1 or config.getoption("--full") else min(cores, 4)


def pytest_configure(config: pytest.Config) -> None:
    """Point the workbench at an empty cache, before any test or doctest is imported.

    Each process that tests has one of its own, because some tests count what is in there. With
    several processes the one that hands out the tests runs none: it sets what they start with.
    """
    if config.getoption("dist", "no") != "no":
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # there is a process for each core already
        return
    folder = TemporaryDirectory(prefix="workbench-cache-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ[CACHE] = folder.name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked full; of several processes let one begin with what takes longest.

    Each process gets a share of the list from its beginning, and whoever is done takes over from
    the end of another's share. So the browser tests, whose page, server and kernel want a core,
    run one after another beside tests of milliseconds, and the notebooks end at the same time.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=begins)
    if not config.getoption("--full"):
        skip = pytest.mark.skip(reason="marked full: add --full to run it")
        for item in items:
            if item.get_closest_marker("full") is not None:
                item.add_marker(skip)


def begins(item: pytest.Item) -> int:
    """0 for the tests that are to be handed out first."""
    marked = (place for place, name in enumerate(FIRST) if item.get_closest_marker(name))
    return next(marked, len(FIRST))


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


# -- tiny models of other kinds ---------------------------------------------------------------

VOCAB = 61
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder for what one of several test processes makes for all."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if hasattr(request.config, "workerinput") else folder


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """Makes the causal LM of a configuration's class, with weights far from uniform."""

    def make(kind: str, **changes: Any) -> Any:
        transformers = pytest.importorskip("transformers")
        config = getattr(transformers, kind)(**{**SHAPE, **changes})
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            model = transformers.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(6)  # so that a wrong mask or position shows
        return model

    return make


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """58 words: with <pad>, <eos> and <unk> the 61 tokens of the tiny models."""
    return Tokenizer.from_words([f"word{number}" for number in range(VOCAB - 3)])


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(3, VOCAB, (3, 11), generator=torch.Generator().manual_seed(0))


# -- a small base model and runs of it ---------------------------------------------------------

WORLD = ReviewsConfig(pairs=48, topics=4)
BASE = BaseConfig(dim=32, layers=1, hidden_dim=48, steps=20, texts=640)
# 36 pairs to train on make 5 steps per epoch, the last one smaller.
SMALL: dict[str, Any] = {
    "world": WORLD, "pairs_from": "grammar", "batch_size": 8, "epochs": 2, "held_out": 12,
    "samples": 4, "eval_every": 4, "max_new_tokens": 12, "lr": 1e-3, "warmup": 2, "max_length": 64,
}  # fmt: skip


@pytest.fixture(scope="session")
def trained() -> Model:
    """Pretrained for 20 steps; not to be changed."""
    world = Reviews(WORLD)
    model = new_model(world, BASE)
    for _ in pretrain(model, world, BASE):
        pass
    return model


@pytest.fixture
def base(trained: Model) -> Model:
    """A copy to train."""
    return copy.deepcopy(trained)


@pytest.fixture(scope="session")
def model_folder(trained: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model on disk, for runs that are to be resumed."""
    folder = tmp_path_factory.mktemp("model") / "small"
    save_model(trained, folder)
    return folder


@pytest.fixture
def small() -> dict[str, Any]:
    """Settings of a run that takes 10 steps."""
    return dict(SMALL)


@pytest.fixture
def make_run(trained: Model) -> Callable[..., Run]:
    """Makes a run of a copy of the base, with the given settings changed."""

    def make(**settings: Any) -> Run:
        return Run.create(TrainConfig(**{**SMALL, **settings}), base=copy.deepcopy(trained))

    return make


@pytest.fixture
def make_recorded(model_folder: Path, tmp_path: Path) -> Callable[..., Run]:
    """Makes a run that is written to a folder of this test, `name`."""

    def make(name: str = "run", **settings: Any) -> Run:
        changed = {"model": str(model_folder), "out": str(tmp_path / name), **settings}
        return Run.create(TrainConfig(**{**SMALL, **changed}))

    return make


@pytest.fixture(scope="session")
def to_step() -> Callable[[Run, int], list[Event]]:
    """Iterates a run up to and with everything that is said at this step."""

    def iterate(run: Run, step: int) -> list[Event]:
        said = []
        while run.step < step:
            said.append(next(run))
        return said

    return iterate


Post = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def listen() -> Iterator[Callable[[Post], ThreadingHTTPServer]]:
    """Starts servers on this machine that handle POST requests by a function, to the test's end."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(post: Post) -> ThreadingHTTPServer:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with suppress(OSError):  # the client has given up, or was killed
                    post(self)

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
