"""A model of the Hugging Face hub as a folder: from the hub's own cache, or fetched into it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.models.headers.tensor_headers import weight_files
from workbench.models.llama import Progress
from workbench.models.optional import optional

FILES = {
    "allow_patterns": [
        "*.json",
        "*.jinja",
        "tokenizer.model",
        "model.safetensors",
        "model-*-of-*.safetensors",
    ],
    "ignore_patterns": ["*/*"],  # other formats of the same weights
}


def hub_folder(name: str, progress: Progress | None = None) -> Path:
    """The folder of the hub's model `name`, such as ORG/NAME.

    A model in the cache is used without any network access.

    Raises:
        WorkbenchError: no such model, no access to it, or no network.
    """
    hub = optional("huggingface_hub")
    cached = _cached(hub, name)
    if cached is not None:
        return cached
    bar = _progress_bar(f"fetching {name}", progress) if progress else None
    try:
        return Path(hub.snapshot_download(name, tqdm_class=bar, **FILES))
    except hub.errors.GatedRepoError as error:
        raise WorkbenchError(
            f"model {name!r} needs consent: give it on its page, then run `hf auth login`"
        ) from error
    except hub.errors.RepositoryNotFoundError as error:
        raise WorkbenchError(f"model {name!r} is not on the Hugging Face hub") from error
    except Exception as error:  # the HTTP errors differ between versions of the library
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise WorkbenchError(
            f"cannot fetch model {name!r} from the Hugging Face hub: {reason}"
        ) from error


def _cached(hub: Any, name: str) -> Path | None:
    """The folder in the hub's cache, or None where a file is missing."""
    try:
        folder = Path(hub.snapshot_download(name, local_files_only=True, **FILES))
        complete = all(path.is_file() for path in [folder / "config.json", *weight_files(folder)])
    except (OSError, ValueError, WorkbenchError):
        return None
    return folder if complete else None


def _progress_bar(text: str, report: Progress) -> type:
    """A progress bar for the hub's library that reports the share of bytes and draws nothing."""
    bar: Any = optional("tqdm").tqdm

    class ReportingBar(bar):
        def __init__(self, *values: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*values, **{**options, "file": io.StringIO(), "disable": False})

        def display(self, *_values: Any, **_options: Any) -> None:
            if self.unit == "B" and self.total:
                report(text, min(1.0, self.n / self.total))

        def close(self) -> None:
            """Draws nothing; the original draws once more, at any later time."""

    return ReportingBar
