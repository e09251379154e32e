"""The files of a tokenizer, as `transformers` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import tokenizers

from workbench.data.json_rows import read_json
from workbench.errors import WorkbenchError


def leading_specials(backend: tokenizers.Tokenizer) -> tuple[int, ...]:
    encoding = backend.encode("x")
    tokens = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    return tuple(index for index, _ in takewhile(lambda token: token[1], tokens))


def read_backend(path: Path) -> tokenizers.Tokenizer:
    if not path.is_file():
        raise WorkbenchError(f"no file {path}: the folder of a tokenizer holds a tokenizer.json")
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise WorkbenchError(f"{path} is not a tokenizer: {error}") from error
    backend.no_truncation()  # files of embedding models may carry both
    backend.no_padding()
    return backend


def json_if_any(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def content_of(token: str | Mapping[str, Any]) -> str:
    """A special token in a file: a string, or an object with the string in `content`."""
    return token if isinstance(token, str) else str(token.get("content"))


def special_id(backend: tokenizers.Tokenizer, names: Mapping[str, str], key: str) -> int | None:
    return backend.token_to_id(names[key]) if key in names else None


def stop_ids_of(folder: Path) -> list[int]:
    for name in ("generation_config.json", "config.json"):
        ids = json_if_any(folder / name).get("eos_token_id")
        if ids is not None:
            return [ids] if isinstance(ids, int) else list(ids)
    return []


def read_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """`chat_template.jinja` if there is one, else the configuration's, "default" where it lists."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        return next((entry["template"] for entry in template if entry["name"] == "default"), None)
    return template
