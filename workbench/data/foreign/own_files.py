"""The files of a folder from outside: read only where they lie in it, and where they are files.

A link may point elsewhere in its own folder. It leaves the folder in one case: the hub's cache
keeps `snapshots/REVISION/NAME` as links into `blobs/` of the same repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import WorkbenchError

READ = (".json", ".safetensors", ".gguf", ".jinja", ".txt", ".model", ".tiktoken")  # suffixes
LARGE = ("tokenizer.json", "vocab.json", "model.safetensors.index.json", "added_tokens.json")
MOST, MOST_LARGE = 16 * 2**20, 256 * 2**20  # bytes of a file of text


def check_folder(folder: Path) -> None:
    """Raise WorkbenchError where something that may be read is no file of this folder."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix in READ and not (path.is_dir() and not path.is_symlink()):
            own_file(path)


def own_file(path: Path) -> Path:
    """The path of a regular file that lies in its folder, and is no larger than its kind is.

    Raises:
        WorkbenchError: it is missing, a device or pipe, too large, or not in its folder.
    """
    folder = path.parent.resolve()
    real = path.resolve()
    blobs = folder.parents[1] / "blobs" if folder.parent.name == "snapshots" else folder
    if not (real.is_relative_to(folder) or real.is_relative_to(blobs)):
        raise WorkbenchError(f"{path} leads out of its folder, to {real}; copy the file there")
    if not real.is_file():
        raise WorkbenchError(f"{path} is no file; accepted are files of the folder itself")
    most = MOST_LARGE if path.name in LARGE or path.suffix in (".model", ".txt") else MOST
    size = real.stat().st_size
    if path.suffix not in (".safetensors", ".gguf") and size > most:
        raise WorkbenchError(f"{path} has {size:,} bytes; accepted are {most:,}")
    return path


@contextmanager
def told(what: Path | str) -> Iterator[None]:
    """Whatever is raised over files from outside as a WorkbenchError of one line that names them.

    They pass through several libraries, whose errors share no class; those of the ones in Rust,
    panics, are no Exceptions even.
    """
    try:
        yield
    except WorkbenchError as error:
        text = " ".join(str(error).splitlines())
        if str(what) in text and text == str(error):
            raise
        raise WorkbenchError(text if str(what) in text else f"{what}: {text}") from error
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())[:200]
        raise WorkbenchError(f"{what} is not accepted: {reason or type(error).__name__}") from error
