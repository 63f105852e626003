from .arrivals import Arrival as Arrival
from .assimilator import Assimilator as Assimilator
from .bridge import (
    BridgeFilter as BridgeFilter,
    BridgeInfo as BridgeInfo,
    BridgeState as BridgeState,
    Coupling as Coupling,
    GaussianBridge as GaussianBridge,
    Iterated as Iterated,
    Jacobian as Jacobian,
    SigmaPoints as SigmaPoints,
    SwitchCost as SwitchCost,
    sinkhorn as sinkhorn,
)
from .calibration import (
    Uniformity as Uniformity,
    Whiteness as Whiteness,
    central_interval as central_interval,
    coverage as coverage,
    coverage_target as coverage_target,
    innovation_whiteness as innovation_whiteness,
    pit_gaussian as pit_gaussian,
    pit_uniformity as pit_uniformity,
    rank_histogram as rank_histogram,
    rank_uniformity as rank_uniformity,
    spread_skill as spread_skill,
)
from .conformal import Conformal as Conformal, Interval as Interval
from .constant_gain import ConstantGainKalman as ConstantGainKalman
from .deterministic_ensemble import (
    DeterministicEnsembleKalman as DeterministicEnsembleKalman,
)
from .ensemble import (
    EnsembleInfo as EnsembleInfo,
    EnsembleTransformKalman as EnsembleTransformKalman,
)
from .ensemble_smoothers import EnsembleKalmanSmoother as EnsembleKalmanSmoother
from .ensemble_update import AbstractEnsembleFilter as AbstractEnsembleFilter
from .evaluate import (
    Evaluation as Evaluation,
    evaluate as evaluate,
    log_prob as log_prob,
)
from .factors import FactorInfo as FactorInfo, FactorState as FactorState
from .finite_size import FiniteSizeEnsembleKalman as FiniteSizeEnsembleKalman
from .forecast import Forecast as Forecast, forecast as forecast
from .gaussian_sum import GaussianSum as GaussianSum
from .health import Alarm as Alarm, Health as Health
from .hidden_markov import (
    ForwardBackward as ForwardBackward,
    ModeInfo as ModeInfo,
    ModeState as ModeState,
    require_hidden_markov as require_hidden_markov,
)
from .inflation import (
    AbstractInflation as AbstractInflation,
    Adaptive as Adaptive,
    Additive as Additive,
    Multiplicative as Multiplicative,
    RelaxPerturbations as RelaxPerturbations,
    RelaxSpread as RelaxSpread,
)
from .information import InformationKalman as InformationKalman
from .iterated import (
    linearised_model as linearised_model,
    smooth_iterated as smooth_iterated,
)
from .iterative_smoother import (
    IterativeEnsembleKalmanSmoother as IterativeEnsembleKalmanSmoother,
)
from .kalman import (
    Kalman as Kalman,
    KalmanInfo as KalmanInfo,
    require_linear as require_linear,
)
from .ladder import Rung as Rung, ladder_of as ladder_of
from .linearise import (
    AbstractPointRule as AbstractPointRule,
    AbstractRule as AbstractRule,
    Cubature as Cubature,
    GaussHermite as GaussHermite,
    Linearised as Linearised,
    Points as Points,
    SecondTaylor as SecondTaylor,
    Taylor as Taylor,
    Unscented as Unscented,
)
from .live import Report as Report
from .local_ensemble import LocalEnsembleTransformKalman as LocalEnsembleTransformKalman
from .localise import (
    Localisation as Localisation,
    gaspari_cohn as gaspari_cohn,
    on_ring as on_ring,
    ring_distances as ring_distances,
    step_taper as step_taper,
)
from .mixtures import (
    mixture_distribution as mixture_distribution,
    mixture_log_density as mixture_log_density,
    mixture_moments as mixture_moments,
    mixture_quantiles as mixture_quantiles,
)
from .mode_expectations import (
    ModePosterior as ModePosterior,
    mode_posterior as mode_posterior,
)
from .mode_paths import (
    ModePath as ModePath,
    most_probable_path as most_probable_path,
    sample_states as sample_states,
)
from .mode_stretches import posterior_stretches as posterior_stretches
from .nonlinear_transform import (
    NonlinearEnsembleTransform as NonlinearEnsembleTransform,
)
from .observations import Observations as Observations, Rows as Rows
from .online import Stepper as Stepper
from .parallel import ParallelKalman as ParallelKalman
from .particle import ParticleFilter as ParticleFilter, ParticleInfo as ParticleInfo
from .particle_smoother import ParticleSmoother as ParticleSmoother
from .protocol import (
    AbstractFilter as AbstractFilter,
    AbstractInfo as AbstractInfo,
    AbstractSeriesFilter as AbstractSeriesFilter,
    AbstractSmoother as AbstractSmoother,
    Running as Running,
    SeriesPass as SeriesPass,
)
from .pseudo_bayes import GeneralisedPseudoBayes as GeneralisedPseudoBayes
from .rank_histogram_filter import RankHistogramFilter as RankHistogramFilter
from .rao_blackwell import (
    RaoBlackwellised as RaoBlackwellised,
    keep_branches as keep_branches,
)
from .recovery import climatology as climatology
from .resample import (
    AbstractResampling as AbstractResampling,
    Multinomial as Multinomial,
    Residual as Residual,
    Stratified as Stratified,
    Systematic as Systematic,
)
from .results import FilterResult as FilterResult, SmoothResult as SmoothResult
from .robust import StudentT as StudentT
from .run import (
    filter_series as filter_series,
    filter_stretches as filter_stretches,
    init as init,
    smooth_series as smooth_series,
    step as step,
)
from .sampling import Path as Path, sample as sample
from .scores import (
    crps_ensemble as crps_ensemble,
    crps_gaussian as crps_gaussian,
    crps_mixture as crps_mixture,
    energy_score as energy_score,
    fair_crps as fair_crps,
    log_score_gaussian as log_score_gaussian,
    log_score_mixture as log_score_mixture,
)
from .serial import (
    AbstractSerialFilter as AbstractSerialFilter,
    SerialEnsembleAdjustment as SerialEnsembleAdjustment,
)
from .sigma import Sigma as Sigma, SigmaInfo as SigmaInfo
from .simulation import sample_posterior as sample_posterior
from .square_root import SquareRootKalman as SquareRootKalman
from .state_file import load_state as load_state, save_state as save_state
from .stochastic_ensemble import StochasticEnsembleKalman as StochasticEnsembleKalman
from .switching import (
    InteractingMultipleModel as InteractingMultipleModel,
    SwitchingInfo as SwitchingInfo,
    SwitchingState as SwitchingState,
    require_switching as require_switching,
)
from .variational import FourDVar as FourDVar, VariationalInfo as VariationalInfo
