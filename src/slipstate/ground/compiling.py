"""Compiling in half the time, where the backend knows how.

On a CPU most of the time of compiling a filter goes into code for fused elementwise
loops. XLA has two emitters of such code. The newer one takes two to three times as
long, and the loops of a filter over small matrices run no faster for it (seen with
jaxlib 0.10.2), so `compiled` asks for the older one where there is such a choice.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp

R = TypeVar("R")

_OPTIONS: dict[str, bool | str] = {"xla_cpu_use_fusion_emitters": False}


def compiled(function: Callable[..., R]) -> Callable[..., R]:
    """Compile a function as `equinox.filter_jit` does, sooner on a CPU.

    Inside another traced function it is compiled with that one.

    Args:
        function: Pure function of arrays and of structures of this package.

    Returns:
        The compiled function, whose arguments are given by position.
    """
    plain = eqx.filter_jit(function)
    # what goes on to `jax.jit` is not in its signature
    soon = cast(Any, eqx.filter_jit)(function, compiler_options=_OPTIONS)

    @functools.wraps(function)
    def call(*args: Any) -> R:
        if _is_traced(args) or not _is_known():
            return plain(*args)
        return soon(*args)

    return call


def options() -> dict[str, bool | str] | None:
    """Return what to tell `jax.jit` of a function that is never part of a larger one.

    Returns:
        Its `compiler_options`: None where the backend is not a CPU's.
    """
    return _OPTIONS if _is_known() else None


def _is_traced(tree: object) -> bool:
    """Tell whether this call is part of a larger program that is being traced."""
    leaves = [jnp.zeros(()), *jax.tree.leaves(tree)]
    return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


@functools.cache
def _is_known() -> bool:
    """Tell whether the backend is a CPU's and its compiler knows the options."""
    if jax.default_backend() != "cpu":
        return False
    try:
        jax.jit(lambda x: x, compiler_options=_OPTIONS).lower(0.0).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return False
    return True
