"""The files of a tokenizer, as `transformers` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import tokenizers

from workbench.data.foreign.own_files import check_folder, own_file
from workbench.data.foreign.tokenizer_trial import try_tokenizer
from workbench.data.json_rows import read_json
from workbench.errors import WorkbenchError

SPECIAL_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
MOST_SPECIAL = 20_000  # special tokens; models in use have up to some 6,000
HIGHEST_ID = 2**24


def tokenizer_parts(folder: Path) -> dict[str, Any]:
    """What the files of a folder say, as the arguments of a `Tokenizer`."""
    check_folder(folder)
    backend = read_backend(folder / "tokenizer.json")
    config = json_if_any(folder / "tokenizer_config.json")
    names = special_names(config, folder / "tokenizer_config.json")
    stop_ids = stop_ids_of(folder)
    eos_id = special_id(backend, names, "eos_token")
    if eos_id is None and not stop_ids:
        raise WorkbenchError(
            f"{folder}: no end of sequence; give eos_token in tokenizer_config.json "
            "or eos_token_id in generation_config.json"
        )
    return {
        "backend": backend,
        "eos_id": stop_ids[0] if eos_id is None else eos_id,
        "pad_id": special_id(backend, names, "pad_token"),
        "chat_template": read_template(folder, config),
        "stop_ids": stop_ids,
        "special_names": names,
    }


def leading_specials(backend: tokenizers.Tokenizer) -> tuple[int, ...]:
    encoding = backend.encode("x")
    tokens = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    return tuple(index for index, _ in takewhile(lambda token: token[1], tokens))


def read_backend(path: Path) -> tokenizers.Tokenizer:
    if not path.is_file():
        raise WorkbenchError(f"no file {path}: the folder of a tokenizer holds a tokenizer.json")
    return backend_of(read_json(own_file(path)), path)


def backend_of(content: dict[str, Any], path: Path) -> tokenizers.Tokenizer:
    """The tokenizer that the object of a tokenizer.json describes; `path` is named in errors."""
    try_tokenizer(content, path)
    try:
        backend = tokenizers.Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises nothing narrower
        raise WorkbenchError(f"{path} is not a tokenizer: {error}") from error
    backend.no_truncation()  # files of embedding models may carry both
    backend.no_padding()
    added = backend.get_added_tokens_decoder().values()
    if sum(token.special for token in added) > MOST_SPECIAL or not all(t.content for t in added):
        raise WorkbenchError(f"{path}: {MOST_SPECIAL:,} special tokens are accepted, none empty")
    return backend


def json_if_any(path: Path) -> dict[str, Any]:
    return read_json(own_file(path)) if path.is_file() else {}


def special_names(config: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Names of special tokens: in a file they are strings, or objects with it in `content`."""
    found = {}
    for key in SPECIAL_NAMES:
        if token := config.get(key):
            name = token.get("content") if isinstance(token, dict) else token
            if not isinstance(name, str):
                raise WorkbenchError(f"{path}: {key}={token!r:.60} is not accepted: a text")
            found[key] = name
    return found


def special_id(backend: tokenizers.Tokenizer, names: Mapping[str, str], key: str) -> int | None:
    return backend.token_to_id(names[key]) if key in names else None


def stop_ids_of(folder: Path) -> list[int]:
    for name in ("generation_config.json", "config.json"):
        ids = json_if_any(folder / name).get("eos_token_id")
        if ids is not None:
            found = ids if isinstance(ids, list) else [ids]
            if not all(type(one) is int and 0 <= one < HIGHEST_ID for one in found):
                raise WorkbenchError(
                    f"{folder / name}: eos_token_id={ids!r:.60} is not accepted: a token id, or a "
                    "list of them"
                )
            return found
    return []


def read_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """`chat_template.jinja` if there is one, else the configuration's, "default" where it lists."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return own_file(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise WorkbenchError(f"cannot read {path}: {error}") from error
    template = config.get("chat_template")
    if isinstance(template, list):
        named = [one for one in template if isinstance(one, dict) and one.get("name") == "default"]
        template = named[0].get("template") if named else None
    if not isinstance(template, str | None):
        raise WorkbenchError(
            f"{folder / 'tokenizer_config.json'}: chat_template={template!r:.60} is not accepted: "
            "a text, or a list of objects with name and template"
        )
    return template
