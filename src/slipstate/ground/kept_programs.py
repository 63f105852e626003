"""Programs that are traced once per machine, not once per process.

jax keeps what it has *compiled* between processes, but a new process still has to run
the Python that says what to compile, and for a short command that takes longer than
the arithmetic. `kept_jit` keeps the traced program too, as portable StableHLO
(`jax.export`) beside a description of its result in JSON. Nothing is unpickled.

A kept program is found by everything it depends on: the function, the structure,
shapes and static values of its arguments, the source of this package and the versions
of what it is built with. Where no folder is given (`slipstate.ground.platform`), off
the CPU, inside another traced function, or where an argument cannot be named, the
function is compiled as by `equinox.filter_jit`.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import equinox as eqx
import jax
from jax import export

from slipstate.ground.errors import OutputError
from slipstate.ground.files import make_folder, replace_file
from slipstate.ground.platform import PROGRAMS
from slipstate.ground.structure import describe, rebuild

P = ParamSpec("P")
R = TypeVar("R")
Program = Callable[..., Any]

_BUILT_WITH = ("jax", "jaxlib", "equinox", "numpy")
_KEEP_FOR = 30 * 86_400  # [s] programs of another version are kept, unused


class KeptProgram(Generic[P, R]):
    """A compiled function; see `kept_jit`."""

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._plain = eqx.filter_jit(function)
        self._programs: dict[Any, Program | None] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, from a kept program where there is one."""
        program, leaves = self._program(args, kwargs)
        return self._plain(*args, **kwargs) if program is None else program(*leaves)

    def compiled(self, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
        """Compile for arguments like these, before threads could each do it.

        Args:
            args: Arguments with the shapes and static values of those to come.
            kwargs: The same, by name.

        Returns:
            The function, for such arguments only.
        """
        program, _ = self._program(args, kwargs)
        if program is not None:
            return self
        plain: Any = self._plain
        return plain.lower(*args, **kwargs).compile()

    def _program(self, args: Any, kwargs: Any) -> tuple[Program | None, list]:
        """Return the program for some arguments, and their arrays."""
        dynamic, static = eqx.partition((args, kwargs), eqx.is_array)
        leaves, tree = jax.tree.flatten(dynamic)
        if PROGRAMS not in os.environ or any(
            isinstance(x, jax.core.Tracer) for x in leaves
        ):
            return None, leaves
        values, form = jax.tree.flatten(static)
        shapes = tuple((x.shape, x.dtype, _is_weak(x)) for x in leaves)
        key = (tree, form, tuple(map(repr, values)), shapes)
        if key not in self._programs:
            self._programs[key] = self._find(key, leaves, tree, static)
        return self._programs[key], leaves

    def _find(self, key: Any, leaves: list, tree: Any, static: Any) -> Program | None:
        """Read the program, or trace it and keep it; None where it has no name."""
        words = f"{self._function.__module__}.{self._function.__qualname__} {key}"
        place = _place(os.environ[PROGRAMS])
        if " at 0x" in words or place is None:
            return None
        name = hashlib.sha256(words.encode()).hexdigest()[:32]
        kept = _read(place / name)
        if kept is None:
            kept = _trace(self._function, leaves, tree, static)
            if not _write(place / name, *kept):
                return None
        traced, form = kept
        run = jax.jit(traced.call).lower(*leaves).compile()
        return lambda *leaves: rebuild(form, run(*leaves))


def kept_jit(function: Callable[P, R]) -> KeptProgram[P, R]:
    """Compile a function as `equinox.filter_jit` does, and keep it between processes.

    Args:
        function: Pure function of arrays and of structures of this package. Its result
            may hold arrays, numbers, words, tuples, lists, dictionaries and modules of
            this package.

    Returns:
        The compiled function.
    """
    return KeptProgram(function)


def _trace(
    function: Callable, leaves: list, tree: Any, static: Any
) -> tuple[export.Exported, Any]:
    """Trace the function for arguments like these; what it raises is raised."""
    forms: list[Any] = []

    def flat(*leaves: Any) -> tuple[Any, ...]:
        args, kwargs = eqx.combine(jax.tree.unflatten(tree, leaves), static)
        form, arrays = describe(function(*args, **kwargs))
        forms.append(form)
        return tuple(arrays)

    return export.export(jax.jit(flat))(*leaves), forms[0]


def _write(path: Path, traced: export.Exported, form: Any) -> bool:
    """Keep a program and the form of its result; tell whether that was possible."""
    program = bytes(traced.serialize())
    words = {"form": form, "sha256": hashlib.sha256(program).hexdigest()}
    try:
        replace_file(path.with_suffix(".stablehlo"), program)
        replace_file(path.with_suffix(".json"), json.dumps(words).encode())
    except OutputError:
        return False
    return True


def _read(path: Path) -> tuple[export.Exported, Any] | None:
    """Return a kept program, None where it is missing or damaged."""
    try:
        words = json.loads(path.with_suffix(".json").read_bytes())
        program = path.with_suffix(".stablehlo").read_bytes()
    except (OSError, ValueError):
        return None
    if hashlib.sha256(program).hexdigest() != words["sha256"]:
        return None
    return export.deserialize(bytearray(program)), words["form"]


@functools.cache
def _place(folder: str) -> Path | None:
    """Return the folder of this version's programs; clear out long unused ones.

    None off the CPU, where not every call of a library may be kept, and where there is
    no such folder.
    """
    if jax.default_backend() != "cpu":
        return None
    words = [importlib.metadata.version(name) for name in _BUILT_WITH]
    words.append(str(jax.config.jax_enable_x64))
    words += [f"{path}{size}{when}" for path, size, when in _sources()]
    name = hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
    try:
        place = Path(folder) / name
        if not place.exists():
            for other in Path(folder).glob("*"):
                if time.time() - other.stat().st_mtime > _KEEP_FOR:
                    shutil.rmtree(other, ignore_errors=True)
        return make_folder(place)
    except (OSError, OutputError):
        return None


def _sources() -> Iterator[tuple[str, int, int]]:
    """Tell name, size and age of every source file of the package."""
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        stat = path.stat()
        yield str(path.relative_to(root)), stat.st_size, stat.st_mtime_ns


def _is_weak(x: Any) -> bool:
    return bool(getattr(x, "weak_type", False))
