"""The structure of a result as JSON: what stands around its arrays."""

import dataclasses
import importlib
from typing import Any

import equinox as eqx

_PACKAGE = __name__.split(".")[0]
_PLAIN = (bool, int, float, str, type(None))


def describe(tree: Any) -> tuple[Any, list[Any]]:
    """Take a structure apart.

    Args:
        tree: Arrays within tuples, lists, dictionaries with words for keys, modules and
            named tuples of this package, beside plain numbers and words.

    Returns:
        A description that JSON can hold, and the arrays in order.

    Raises:
        TypeError: Something else stands in it.
    """
    arrays: list[Any] = []

    def visit(node: Any) -> Any:
        if eqx.is_array(node):
            arrays.append(node)
            return {"array": len(arrays) - 1}
        if isinstance(node, _PLAIN):
            return {"value": node}
        if isinstance(node, eqx.Module):
            parts = [(f.name, getattr(node, f.name)) for f in dataclasses.fields(node)]
            return {"module": _name(node), "parts": {k: visit(x) for k, x in parts}}
        if isinstance(node, tuple) and type(node) is not tuple:
            return {"named": _name(node), "parts": [visit(x) for x in node]}
        if isinstance(node, tuple | list):
            return {type(node).__name__: [visit(x) for x in node]}
        if isinstance(node, dict) and all(isinstance(k, str) for k in node):
            return {"dict": {k: visit(x) for k, x in node.items()}}
        raise TypeError(f"cannot describe a {type(node).__name__}")

    return visit(tree), arrays


def rebuild(form: Any, arrays: Any) -> Any:
    """Put a structure together again.

    Args:
        form: From `describe`.
        arrays: The arrays, in the same order.

    Returns:
        The structure. Modules are filled, not constructed: they were checked when the
        program was made.
    """

    def visit(node: Any) -> Any:
        ((kind, value), *_) = node.items()
        if kind == "array":
            return arrays[value]
        if kind == "value":
            return value
        if kind == "module":
            module = object.__new__(_class(value))
            for name, part in node["parts"].items():
                object.__setattr__(module, name, visit(part))
            return module
        if kind == "named":
            return _class(value)(*map(visit, node["parts"]))
        if kind == "dict":
            return {k: visit(x) for k, x in value.items()}
        parts = [visit(x) for x in value]
        return tuple(parts) if kind == "tuple" else parts

    return visit(form)


def _name(node: Any) -> str:
    cls = type(node)
    if cls.__module__.split(".")[0] != _PACKAGE or "<" in cls.__qualname__:
        raise TypeError(f"cannot describe a {cls.__qualname__} of {cls.__module__}")
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(name: str) -> type:
    module, _, qualname = name.partition(":")
    if module.split(".")[0] != _PACKAGE:
        raise ValueError(f"{name} is not of this package")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found
