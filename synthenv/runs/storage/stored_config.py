"""Keep ``config.json``, which says what a directory was begun with, and compare it with what is asked for now."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import read_json, to_json, write_atomic

CONFIG = "config.json"


def read(path: Path) -> dict[str, Any]:
    """Read all that the file of a directory holds, including its ``config``.

    Raises:
        UserError: it is missing or damaged.
    """
    file, remedy = path / CONFIG, "put back a copy of it, or choose another --out"
    try:
        content = read_json(file, remedy)
        return {**content, "config": dict(content["config"])}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{file} is damaged: {remedy}") from None


def stored_config(path: Path) -> dict[str, Any]:
    """Return what a directory was begun with; empty if nothing that can be read says so."""
    try:
        return read(path)["config"]
    except UserError:
        return {}


def write(path: Path, config: Mapping[str, Any], **beside: Any) -> None:
    """Record what a directory is begun with, and whatever else the file is to hold.

    Raises:
        UserError: the disk is full or the place cannot be written.
    """
    write_atomic(path / CONFIG, to_json({"config": config, **beside}, indent=2).encode())


def check_same(whose: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Check that what goes on is asked for what it was begun with.

    Args:
        whose: beginning of the message, such as "the run in DIR was".
        stored: what it was begun with, JSON-ready.
        wanted: what it is asked for, JSON-ready.

    Raises:
        UserError: a field differs.
    """
    for name, before, now in _differences(stored, wanted, ""):
        raise UserError(
            f"{whose} begun with {name} = {before}, not {now}: pass the old value to resume, or choose another --out"
        )


def _differences(before: Any, now: Any, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield dotted names and both values of the fields that differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for field in [*before, *(field for field in now if field not in before)]:
            inner = f"{name}.{field}" if name else field
            yield from _differences(before.get(field, "absent"), now.get(field, "absent"), inner)
    elif before != now:
        yield name, to_json(before), to_json(now)


def with_contents(stored: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return a stored config whose ``contents`` also name the files that are wanted now.

    Earlier versions kept no hash of a world model that is shipped; what is not on record cannot contradict anything.
    """
    if "contents" not in wanted:
        return stored
    return stored | {"contents": wanted["contents"] | stored.get("contents", {})}


def value_at(config: Any, name: str | None) -> Any:
    """Return the value at a dotted name; None if there is none."""
    for field in name.split(".") if name else ():
        config = config.get(field) if isinstance(config, dict) else None
    return config if name else None


def with_value(config: dict[str, Any], name: str | None, value: Any) -> dict[str, Any]:
    """Return the config with another value at a dotted name."""
    if name is None:
        return config
    field, _, inner = name.partition(".")
    return config | {field: with_value(config[field], inner, value) if inner else value}
