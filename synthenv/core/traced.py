"""Which fields of a config are traced: values that may differ between members of one compiled program.

    learning_rate: Positive = traced(1e-3)

A field says so where it is declared; all others are static, and every value of theirs compiles a program of its own.
Imports nothing heavy but in :func:`traced_struct`.
"""

import dataclasses
import functools
from typing import Any

_MARK = {"traced": True}


def traced(default: Any) -> Any:
    """Declare a field of a frozen dataclass as traced, with its default."""
    return dataclasses.field(default=default, metadata=_MARK)


def traced_names(config: type) -> tuple[str, ...]:
    """The traced fields of a config's class: those that it or a class above it declares so."""
    marked = {
        field.name
        for kind in config.__mro__
        for field in getattr(kind, "__dataclass_fields__", {}).values()
        if field.metadata.get("traced")
    }
    return tuple(field.name for field in dataclasses.fields(config) if field.name in marked)


@functools.cache
def traced_struct(config: type, *more: str) -> Any:
    """The pytree of a config's traced fields, and of ``more`` that are not the config's own.

    Returns:
        a flax dataclass with a field of each name, made once for every class.
    """
    from flax import struct

    names = (*traced_names(config), *more)
    return struct.dataclass(type("Hyperparams", (), {"__annotations__": dict.fromkeys(names, Any)}))
