"""Estimating parameters from the past: maximum likelihood and what it is worth."""

from slipstate.fit.checkpoint import (
    Checkpoint,
    ChunkLog,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from slipstate.fit.em import (
    baum_welch,
)
from slipstate.fit.em_batch import (
    ModePrior,
)
from slipstate.fit.em_starts import (
    start_model,
    sticky_chain,
)
from slipstate.fit.mode_choice import (
    ModeChoice,
    compare_modes,
)
from slipstate.fit.optimise import maximise
from slipstate.fit.recurrent_em import (
    Guard,
    fit_recurrent,
)
from slipstate.fit.store import FolderStore
from slipstate.fit.switching_em import (
    fit_switching,
)
from slipstate.ground.params import (
    AbstractBijection,
    Interval,
    Parameter,
    Positive,
    Real,
    Unit,
    natural,
)

__all__ = [
    "AbstractBijection",
    "Checkpoint",
    "ChunkLog",
    "FolderStore",
    "Guard",
    "Interval",
    "ModeChoice",
    "ModePrior",
    "Parameter",
    "Positive",
    "Real",
    "Unit",
    "baum_welch",
    "compare_modes",
    "fingerprint",
    "fit_recurrent",
    "fit_switching",
    "load_checkpoint",
    "maximise",
    "natural",
    "save_checkpoint",
    "start_model",
    "sticky_chain",
]
