from .bounds import (
    AbstractBijection as AbstractBijection,
    Interval as Interval,
    Parameter as Parameter,
    Positive as Positive,
    Real as Real,
    Unit as Unit,
    natural as natural,
)
from .candidate import AbstractCandidate as AbstractCandidate
from .candidates import choose_candidates as choose_candidates
from .checkpoint import (
    Checkpoint as Checkpoint,
    ChunkLog as ChunkLog,
    fingerprint as fingerprint,
    load_checkpoint as load_checkpoint,
    save_checkpoint as save_checkpoint,
)
from .compare import (
    Followed as Followed,
    Score as Score,
    compare as compare,
    follow as follow,
)
from .em import baum_welch as baum_welch
from .em_batch import ModePrior as ModePrior
from .em_starts import start_model as start_model, sticky_chain as sticky_chain
from .evidence import (
    fit_evidence as fit_evidence,
    log_evidence as log_evidence,
    search_evidence as search_evidence,
)
from .fitted import Fitted as Fitted, FittedNumber as FittedNumber
from .job import Comparison as Comparison, fit_models as fit_models
from .mode_choice import ModeChoice as ModeChoice, compare_modes as compare_modes
from .optimise import maximise as maximise
from .predictive import Predictive as Predictive
from .recurrent_em import Guard as Guard, fit_recurrent as fit_recurrent
from .series import Series as Series, column_series as column_series
from .store import FolderStore as FolderStore
from .switching_em import fit_switching as fit_switching
