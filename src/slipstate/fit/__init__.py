"""Estimating parameters from the past: maximum likelihood and what it is worth."""

from slipstate.fit.candidate import (
    AbstractCandidate,
)
from slipstate.fit.candidates import (
    choose_candidates,
)
from slipstate.fit.checkpoint import (
    Checkpoint,
    ChunkLog,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from slipstate.fit.compare import (
    Followed,
    Score,
    compare,
    follow,
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
from slipstate.fit.evidence import (
    fit_evidence,
    log_evidence,
    search_evidence,
)
from slipstate.fit.fitted import (
    Fitted,
    FittedNumber,
)
from slipstate.fit.job import (
    Comparison,
    fit_models,
)
from slipstate.fit.mode_choice import (
    ModeChoice,
    compare_modes,
)
from slipstate.fit.optimise import maximise
from slipstate.fit.predictive import (
    Predictive,
)
from slipstate.fit.recurrent_em import (
    Guard,
    fit_recurrent,
)
from slipstate.fit.series import (
    Series,
    column_series,
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
    "AbstractCandidate",
    "Checkpoint",
    "ChunkLog",
    "Comparison",
    "Fitted",
    "FittedNumber",
    "FolderStore",
    "Followed",
    "Guard",
    "Interval",
    "ModeChoice",
    "ModePrior",
    "Parameter",
    "Positive",
    "Predictive",
    "Real",
    "Score",
    "Series",
    "Unit",
    "baum_welch",
    "choose_candidates",
    "column_series",
    "compare",
    "compare_modes",
    "fingerprint",
    "fit_evidence",
    "fit_models",
    "fit_recurrent",
    "fit_switching",
    "follow",
    "load_checkpoint",
    "log_evidence",
    "maximise",
    "natural",
    "save_checkpoint",
    "search_evidence",
    "start_model",
    "sticky_chain",
]
