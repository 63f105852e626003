"""Benchmark cases and methods by the names the command knows them by.

Every case runs with every method that can treat it at all; settings are those of the
papers or defaults, and none was fitted to the case it is run on.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from slipstate.assimilate import (
    AbstractFilter,
    BridgeFilter,
    DeterministicEnsembleKalman,
    EnsembleTransformKalman,
    FiniteSizeEnsembleKalman,
    FourDVar,
    GaussianSum,
    IterativeEnsembleKalmanSmoother,
    Kalman,
    LocalEnsembleTransformKalman,
    Localisation,
    NonlinearEnsembleTransform,
    ParticleFilter,
    RankHistogramFilter,
    SerialEnsembleAdjustment,
    Sigma,
    StochasticEnsembleKalman,
    Taylor,
    Unscented,
    climatology,
    on_ring,
)
from slipstate.assimilate.bridge import (
    FlowFilter,
    FoellmerFilter,
    LocalBridgeFilter,
    ScoreFilter,
    SinkhornTransform,
    near_observations,
)
from slipstate.assimilate.cases import (
    Case,
    constant_velocity,
    double_well,
    kuramoto_sivashinsky_bocquet2019,
    lorenz63_distance,
    lorenz63_mandel2016,
    lorenz63_sakov2012,
    lorenz63_wiljes2017,
    lorenz96_bao2024,
    lorenz96_bocquet2013,
    lorenz96_sakov2008,
    lorenz96_spantini2019,
    slider_twin,
)
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key
from slipstate.systems.protocol import AbstractLinearObservation

_FIELDS = {"lorenz96": 4.0, "kuramoto": 8.0}  # how a name begins: radius [places]


class Choice(NamedTuple):
    """A method with its names.

    Attributes:
        name: Name on the command line.
        words: What it is, in words.
        usual: Members where none are asked for, of a small system and of a field; 0
            for a method without members.
        build: Returns the filter for a case, a number of members and a key.
    """

    name: str
    words: str
    usual: tuple[int, int]
    build: Callable[[Case, int, Key], AbstractFilter]


CASES: dict[str, Callable[[int], Case]] = {
    "lorenz63_sakov2012": lambda M: lorenz63_sakov2012(),
    "lorenz63_noise": lambda M: lorenz63_sakov2012(model_noise=0.02),
    "lorenz63_wiljes2017": lambda M: lorenz63_wiljes2017(),
    "lorenz63_mandel2016": lambda M: lorenz63_mandel2016(),
    "lorenz63_distance": lambda M: lorenz63_distance(),
    "lorenz96_sakov2008": lambda M: lorenz96_sakov2008(),
    "lorenz96_bocquet2013": lambda M: lorenz96_bocquet2013(),
    "lorenz96_spantini2019": lambda M: lorenz96_spantini2019(),
    "lorenz96_bao2024": lambda M: lorenz96_bao2024(),
    "kuramoto_sivashinsky_bocquet2019": lambda M: kuramoto_sivashinsky_bocquet2019(),
    "double_well": lambda M: double_well(),
    "double_well_linear": lambda M: double_well(linear=True),
    "constant_velocity": lambda M: constant_velocity(),
    "slider_twin": lambda M: slider_twin(members=M, model_noise=1e-4),
    "slider_twin_A": lambda M: slider_twin(twin="A", members=M, model_noise=1e-4),
    "slider_twin_low": lambda M: slider_twin(bias=-0.14, members=M, model_noise=1e-2),
    "slider_twin_high": lambda M: slider_twin(bias=0.03, members=M, model_noise=1e-2),
    "slider_twin_slip_law": lambda M: slider_twin(
        slip_law=True, members=M, model_noise=1e-2
    ),
}
"""Cases by name; each takes the number of members."""


def is_field(case: str) -> bool:
    """Tell whether the state of a case lies along a ring of places."""
    return any(case.startswith(start) for start in _FIELDS)


def _ring(case: Case) -> Localisation | None:
    """Return the localisation of a field, None where there are no places."""
    radius = next((r for s, r in _FIELDS.items() if case.name.startswith(s)), None)
    if radius is None:
        return None
    observation = case.model.observation
    size = case.model.initial.mean().shape[0]
    places = None
    if isinstance(observation, AbstractLinearObservation):
        places = np.argmax(np.abs(np.asarray(observation.matrix())), axis=1) * 1.0
    return on_ring(size, radius, places)


def _place_by_place(case: Case) -> Localisation:
    """Return the localisation of a field; all places hear all elsewhere."""
    ring = _ring(case)
    if ring is not None:
        return ring
    size, obs = case.model.initial.mean().shape[0], len(case.model.observation.units)
    return Localisation(np.ones((size, obs)), np.ones((obs, obs)))


def _factor(case: Case, small: float, field: float) -> float:
    return field if is_field(case.name) else small


def _local_bridge(case: Case, members: int, key: Key) -> LocalBridgeFilter:
    near = near_observations(_place_by_place(case))
    return LocalBridgeFilter(near, members=members, inflation=1.02)


def _variational(lag: int, case: Case, members: int, key: Key) -> FourDVar:
    """Return 3D- or 4D-Var with a background from the climatology."""
    climate = climatology(case.model, interval=case.interval, samples=200, key=key)
    size = climate.members.shape[1]
    spread = np.asarray(climate.cov()) + 1e-9 * np.eye(size)
    return FourDVar(_factor(case, 0.1, 0.02) * spread, lag)


METHODS: tuple[Choice, ...] = (
    Choice(
        "bridge",
        "Schroedinger-bridge filter",
        (50, 40),
        lambda case, M, key: BridgeFilter(M, inflation=_factor(case, 1.0, 1.02)),
    ),
    Choice("bridge-local", "localised bridge filter", (20, 20), _local_bridge),
    Choice(
        "etkf",
        "ensemble transform Kalman filter",
        (10, 24),
        lambda case, M, key: EnsembleTransformKalman(M, _factor(case, 1.02, 1.013)),
    ),
    Choice(
        "letkf",
        "local ensemble transform Kalman filter",
        (10, 7),
        lambda case, M, key: LocalEnsembleTransformKalman(
            localisation=_place_by_place(case), members=M, inflation=1.04
        ),
    ),
    Choice(
        "enkf",
        "ensemble Kalman filter with perturbed observations",
        (50, 40),
        lambda case, M, key: StochasticEnsembleKalman(M, _factor(case, 1.04, 1.06)),
    ),
    Choice(
        "denkf",
        "deterministic ensemble Kalman filter",
        (40, 40),
        lambda case, M, key: DeterministicEnsembleKalman(M, 1.01),
    ),
    Choice(
        "enkf-n",
        "finite-size ensemble Kalman filter",
        (10, 24),
        lambda case, M, key: FiniteSizeEnsembleKalman(M, _factor(case, 1.0, 2.0)),
    ),
    Choice(
        "eakf",
        "serial ensemble adjustment filter",
        (20, 20),
        lambda case, M, key: SerialEnsembleAdjustment(
            members=M, localisation=_ring(case), inflation=1.02
        ),
    ),
    Choice(
        "rhf",
        "rank histogram filter",
        (50, 50),
        lambda case, M, key: RankHistogramFilter(members=M, localisation=_ring(case)),
    ),
    Choice(
        "netf",
        "nonlinear ensemble transform filter",
        (40, 40),
        lambda case, M, key: NonlinearEnsembleTransform(
            members=M, localisation=_ring(case), inflation=1.02
        ),
    ),
    Choice(
        "ienks",
        "iterative ensemble Kalman smoother",
        (10, 20),
        lambda case, M, key: IterativeEnsembleKalmanSmoother(M, 1, 1.02),
    ),
    Choice(
        "particle",
        "particle filter",
        (800, 3000),
        lambda case, M, key: ParticleFilter(
            M, _factor(case, 0.2, 0.5), _factor(case, 0.9, 0.7)
        ),
    ),
    Choice(
        "gaussian-sum",
        "Gaussian-sum filter",
        (50, 50),
        lambda case, M, key: GaussianSum(M),
    ),
    Choice("3dvar", "3D-Var", (0, 0), partial(_variational, 0)),
    Choice("4dvar", "4D-Var", (0, 0), partial(_variational, 1)),
    Choice("kalman", "Kalman filter", (0, 0), lambda case, M, key: Kalman()),
    Choice("ekf", "extended Kalman filter", (0, 0), lambda c, M, key: Sigma(Taylor())),
    Choice(
        "ukf", "unscented Kalman filter", (0, 0), lambda c, M, key: Sigma(Unscented())
    ),
    Choice(
        "score",
        "ensemble score filter",
        (50, 50),
        lambda case, M, key: ScoreFilter(M),
    ),
    Choice(
        "flow", "ensemble flow filter", (50, 50), lambda case, M, key: FlowFilter(M)
    ),
    Choice(
        "foellmer",
        "Foellmer-drift filter",
        (50, 50),
        lambda case, M, key: FoellmerFilter(M),
    ),
    Choice(
        "sinkhorn",
        "Sinkhorn ensemble transform",
        (50, 50),
        lambda case, M, key: SinkhornTransform(M),
    ),
)
"""Methods; the first is the default."""


def choose_case(name: str, members: int) -> Case:
    """Return the case with a name.

    Args:
        name: Name on the command line.
        members: Size of the first ensemble, where the case brings one.

    Raises:
        InputError: There is none of that name.
    """
    if name not in CASES:
        raise InputError(f"`--case` must be one of {', '.join(CASES)}; got {name!r}.")
    return CASES[name](members)


def choose_filter(name: str) -> Choice:
    """Return the method with a name.

    Args:
        name: Name on the command line.

    Raises:
        InputError: There is none of that name.
    """
    for method in METHODS:
        if method.name == name:
            return method
    known = ", ".join(method.name for method in METHODS)
    raise InputError(f"`--method` must be one of {known}; got {name!r}.")


def ensemble_size(choice: Choice, case: str, members: int | None) -> int:
    """Return how many members a method has, and draws where it has none.

    Args:
        choice: The method.
        case: Name of the case.
        members: What was asked for, or None.

    Raises:
        InputError: Fewer than two were asked for.
    """
    if members is not None and members < 2:
        raise InputError(f"`--members` must be at least 2; got {members}. Pass 20.")
    usual = choice.usual[is_field(case)] or 50
    return usual if members is None else members
