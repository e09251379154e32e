"""Flags from dataclasses: a field's type and metadata make its flag, with help, range and choices.

Neither this file nor what it imports loads torch, so that help, and what is wrong with a flag, are
told at once.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass, make_dataclass
from dataclasses import field as dataclass_field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast, get_type_hints

import tyro

from workbench.cli.command_settings import COMMANDS, Command
from workbench.core.losses import all_parameters
from workbench.errors import WorkbenchError
from workbench.paths import given
from workbench.train.config import find_preset

REPEATED = ("prompt", "over")  # flags that may be given more than once


def parse(arguments: Sequence[str]) -> Command:
    """The command that the arguments ask for, with its settings.

    Raises:
        SystemExit: help was asked for (0), or something is no flag or no value of its type (2).
        WorkbenchError: a value is out of range, a preset is unknown, or a flag does not go with it.
    """
    parsers = {name: flags(config) for name, config in COMMANDS.items()}
    name = arguments[0] if arguments[:1] in (["train"], ["sweep"]) else ""
    preset = _preset_of(arguments) if name else None
    if preset is not None:
        parsers[name] = flags(COMMANDS[name], find_preset(preset).settings)
    parsed = tyro.extras.subcommand_cli_from_dict(
        parsers,  # type: ignore[arg-type]
        prog="python -m workbench",
        description=f"Direct Preference Optimisation: {', '.join(COMMANDS)}.",
        args=arguments,
    )
    name = next(name for name, parser in parsers.items() if isinstance(parsed, parser))
    try:
        return build(COMMANDS[name], parsed)
    except WorkbenchError as error:
        if preset is None:
            raise
        raise WorkbenchError(f"with the settings of --preset {preset}: {error}") from None


def _preset_of(arguments: Sequence[str]) -> str | None:
    """The name behind `--preset`, whose settings are what the other flags default to."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="?")
    return parser.parse_known_args(arguments)[0].preset


def flags(config: type, defaults: Mapping[str, Any] = MappingProxyType({})) -> type:
    """A flat twin of a dataclass, with help, range and choices where tyro reads them.

    `defaults` replace those of the fields.
    """
    parts = list(_leaves(config))
    named = any(part.name == "source" for part, _ in parts)  # so a flag `data` would say it twice
    columns = [
        (part.name, *_flag(part, hint, defaults.get(part.name, part.default)))
        for part, hint in parts
        if not (named and part.name == "data")
    ]
    columns.sort(key=len)  # what has no default comes first
    return make_dataclass(config.__name__, columns, namespace={"__doc__": config.__doc__})


def _leaves(config: type) -> Iterator[tuple[Field[Any], Any]]:
    """Every field with its type, those of nested dataclasses in their place."""
    hints: dict[str, Any] = get_type_hints(config)
    for part in fields(config):
        kind = hints[part.name]
        if is_dataclass(kind):
            yield from _leaves(kind)  # type: ignore[arg-type]
        else:
            yield part, kind


def _flag(part: Field[Any], kind: Any, default: Any) -> tuple[Any, ...]:
    facts, literal = part.metadata, cast(Any, Literal)
    if facts.get("choices"):
        kind = literal[facts["choices"]]
        kind = kind | str if facts.get("open") else kind
        kind = kind | None if part.default is None else kind
    text = facts["help"] + _accepted(part)
    if part.name in ("source", "folder") and part.default is not None:
        return (Annotated[kind, tyro.conf.Positional, tyro.conf.arg(help=text)],)
    hint = "" if default is None else None  # the help says what is taken then
    if part.name in REPEATED:  # a flag that is repeated adds to what was given before
        many = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]
        return Annotated[many, tyro.conf.arg(help=text)], dataclass_field(default=())
    told = Annotated[kind, tyro.conf.arg(help=text, help_behavior_hint=hint)]
    return told, dataclass_field(default=default)


def _accepted(part: Field[Any]) -> str:
    """The range behind a flag's help; that of a loss's parameter in equal ratios is a usual one."""
    low, high = part.metadata.get("low"), part.metadata.get("high")
    if low is None:
        return ""
    wide = part.metadata.get("log") and part.name in all_parameters()
    return f" [{'above 0, usually ' if wide else ''}{low:g} to {high:g}]"


def build(config: type, values: Any) -> Any:
    """The real thing from its parsed twin; ranges are checked here."""
    hints: dict[str, Any] = get_type_hints(config)
    return config(
        **{
            part.name: build(hints[part.name], values)
            if is_dataclass(hints[part.name])
            else _value(part, getattr(values, part.name))
            for part in fields(config)
            if is_dataclass(hints[part.name]) or hasattr(values, part.name)
        }
    )


def _value(part: Field[Any], value: Any) -> Any:
    if part.name in REPEATED:
        return tuple(chain(*value))
    if value is None or not (part.metadata.get("path") or isinstance(value, Path)):
        return value
    if isinstance(value, tuple):
        return tuple(given(one, part.name) for one in value)
    return type(value)(given(str(value), part.name))
