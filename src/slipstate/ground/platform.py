"""What must be true of a process before jax starts its backend.

jaxlib before 0.11 can deadlock on a CPU with few cores when two independent batched
factorisations stand in one compiled body: XLA's concurrency-optimised scheduler lets
both wait for the same worker threads. `prepare_process` turns that scheduler off; the
command, the tests and the benchmarks call it first. A user's own script is safe without
it because the library orders such calls itself, see `slipstate.ground.linalg.after`.
"""

import importlib.metadata
import os
import sys

from slipstate.ground.errors import PrecisionError

_SWITCH = 5e-4  # [s] a thread may hold the interpreter while another waits for it
PROGRAMS = "SLIPSTATE_PROGRAMS"
"""Name of the environment variable with the folder of traced programs."""
_SCHEDULER_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"


def prepare_process(*, x64: bool = True, cache: str | None = None) -> None:
    """Set what has to be set before jax computes anything.

    Args:
        x64: Compute in float64 (needed by inference and fault physics).
        cache: Folder of the persistent compilation cache, or None for no cache; what
            was traced is kept in it too, see `slipstate.ground.kept_programs`.

    Raises:
        PrecisionError: jax has computed already, so the settings would come too late.
    """
    if _backend_runs():
        raise PrecisionError(
            "`prepare_process` must run before jax computes anything; it has already. "
            "Call it at the top of the script."
        )
    # array work in one thread must not wait long for plain Python in another
    sys.setswitchinterval(_SWITCH)
    if _scheduler_deadlocks():
        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_cpu_enable_concurrency_optimized_scheduler" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} {_SCHEDULER_FLAG}".strip()
    settings: dict[str, bool | float | str] = {"jax_enable_x64": x64}
    if cache is not None:
        os.environ[PROGRAMS] = os.path.join(cache, "programs")  # noqa: PTH118
        settings |= {
            "jax_compilation_cache_dir": cache,
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": 0,
        }
    if "jax" in sys.modules:
        for name, value in settings.items():
            sys.modules["jax"].config.update(name, value)
    for name, value in settings.items():
        os.environ[name.upper()] = str(int(value) if isinstance(value, bool) else value)


def require_float64(task: str) -> None:
    """Raise unless jax computes in float64.

    Args:
        task: What needs it, in words that finish "... needs float64".

    Raises:
        PrecisionError: float64 is switched off.
    """
    import jax  # here, so that importing this module never starts jax

    if not jax.config.jax_enable_x64:
        raise PrecisionError(
            f"{task} needs float64; jax is computing in float32. Call "
            '`jax.config.update("jax_enable_x64", True)` at the top of the script, or '
            "set the environment variable JAX_ENABLE_X64=1."
        )


def _scheduler_deadlocks() -> bool:
    """Tell whether the installed jaxlib is older than 0.11."""
    version = importlib.metadata.version("jaxlib")
    major, minor = (int(part) for part in version.split(".")[:2])
    return (major, minor) < (0, 11)


def _backend_runs() -> bool:
    """Tell whether jax has started a backend in this process."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bool(bridge.backends_are_initialized())
