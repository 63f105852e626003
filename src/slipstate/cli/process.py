"""What every verb that computes does first."""

import gc
from pathlib import Path

import platformdirs

from slipstate.ground.errors import PrecisionError
from slipstate.ground.platform import prepare_process, require_float64

_COLLECT_AFTER = 100_000  # objects made and not freed, while importing
_COLLECT_AGAIN = 1_000  # afterwards: some hold large arrays


def cache_folder() -> Path:
    """Return where compiled programs are kept between runs."""
    return Path(platformdirs.user_cache_dir("slipstate")) / "compiled"


def begin() -> None:
    """Set float64, the compile cache and the deadlock guard, before jax is imported.

    Inside a program that has used jax already the settings come too late; then the
    verb goes on as long as that program computes in float64.

    Raises:
        PrecisionError: jax computes in float32 already.
    """
    # importing and tracing make many objects that stay; searching them for garbage
    # again and again is a tenth of a short run
    gc.set_threshold(_COLLECT_AFTER)
    try:
        prepare_process(x64=True, cache=str(cache_folder()))
    except PrecisionError:
        require_float64("The command")


def imported() -> None:
    """Search for garbage again, but never among what has been imported: that stays."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AGAIN)
