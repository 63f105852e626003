"""A hidden Markov model of one series: how many modes, and what each looks like."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate.hidden_markov import ForwardBackward
from slipstate.assimilate.observations import Observations
from slipstate.assimilate.run import filter_series
from slipstate.fit.em import baum_welch
from slipstate.fit.em_batch import ModePrior
from slipstate.fit.em_starts import start_model
from slipstate.fit.fitted import Fitted, FittedNumber
from slipstate.fit.optimise import curvature_errors
from slipstate.fit.predictive import mode_moments
from slipstate.fit.series import Series
from slipstate.ground.params import Parameter, Positive, Real, Unit
from slipstate.ground.types import Key, Scalar
from slipstate.systems.chains import MarkovChain
from slipstate.systems.counts import PoissonEmission
from slipstate.systems.emissions import AbstractEmission
from slipstate.systems.gaussian_emissions import GaussianEmission
from slipstate.systems.hidden_markov import HiddenMarkov

MODE_WORDS = "hidden modes, each with a mean and a spread (or a rate, for counts)"
_SIZES = (2, 3)
_RESTARTS = 5
_EDGE = 1e-6  # a probability this near to 0 or 1 has no curvature to speak of
_MOST_COUNT = 1000.0


def fit_modes(series: Series, key: Key) -> Fitted:
    """Fit hidden Markov models of two and three modes; return the one of smaller BIC.

    Pure numbers that are whole and not negative are counts and get Poisson modes;
    anything else gets normal ones, each held open by one row's worth of the whole
    spread.

    Args:
        series: The series; the part to fit is looked at.
        key: Random key of restarts.
    """
    fits = [_fit(series, size, jax.random.fold_in(key, size)) for size in _SIZES]
    best = min(fits, key=lambda fitted: fitted.bic)
    assert isinstance(best.model, HiddenMarkov)
    head = series.observations[: series.cut]
    return best._replace(numbers=_numbers(best.model, head, best.modes, series.unit))


def is_count(series: Series) -> bool:
    """Tell whether a series counts something."""
    values = series.values[np.isfinite(series.values)]
    whole = np.all(values == np.round(values)) and values.min() >= 0.0
    few = values.max() <= _MOST_COUNT
    return series.unit == "1" and bool(whole) and bool(few)


def _fit(series: Series, modes: int, key: Key) -> Fitted:
    head = series.observations[: series.cut]
    counts = is_count(series)
    unit = (series.unit,)
    emission: AbstractEmission = (
        PoissonEmission(np.ones(modes), unit)
        if counts
        else GaussianEmission(np.zeros((modes, 1)), np.ones((modes, 1)), unit)
    )
    found = baum_welch(
        start_model(emission, head, key=key),
        head,
        prior=None if counts else ModePrior(rows=1.0),
        restarts=_RESTARTS,
        key=key,
    )
    model = found.value
    letters = tuple("ABCDEFGH"[:modes])
    kind = "Poisson" if counts else "normal"
    return Fitted(
        name="hmm",
        words=f"{modes} hidden modes with {kind} observations, one move a row",
        model=model,
        method=ForwardBackward(),
        numbers=(),
        log_likelihood=float(found.info["log_likelihood"]),
        free=model.free_parameters,
        samples=int(np.asarray(head.mask).sum()),
        outcome=found.outcome,
        provenance=found.provenance,
        modes=letters,
    )


def _numbers(
    model: HiddenMarkov, head: Observations, letters: tuple[str, ...], unit: str
) -> tuple[FittedNumber, ...]:
    """Return what each mode looks like, with errors from the curvature.

    A row of the transition matrix is the probability to stay and, of three modes, how
    the rest is split; both are probabilities of their own.
    """
    assert isinstance(model.chain, MarkovChain)
    counts = isinstance(model.observation, PoissonEmission)
    means, sds = mode_moments(model)
    moves = np.asarray(model.chain.matrix(None, jnp.asarray(1.0)))
    modes = len(letters)
    stay = np.clip(np.diagonal(moves), _EDGE, 1.0 - _EDGE)
    first = np.array([_others(moves, mode)[0] for mode in range(modes)])
    split = np.clip(first / np.maximum(1.0 - stay, _EDGE), _EDGE, 1.0 - _EDGE)
    at: dict[str, Any] = {
        "mean": Parameter(means, Positive() if counts else Real()),
        "stay": Parameter(stay, Unit()),
    }
    if not counts:
        at["sd"] = Parameter(sds, Positive())
    if modes > 2:
        at["split"] = Parameter(split, Unit())
    likelihood = _ModeLikelihood(head, model.initial.probs(), counts, unit)
    errors = curvature_errors(likelihood, at)
    found = []
    inside = (stay > 10.0 * _EDGE) & (stay < 1.0 - 10.0 * _EDGE)
    staying = np.where(inside, np.asarray(errors["stay"]), np.nan)
    for mode, letter in enumerate(letters):
        shown = [
            ("rate" if counts else "mean", means[mode], errors["mean"][mode], unit)
        ]
        if not counts:
            shown.append(("sd", sds[mode], errors["sd"][mode], unit))
        found += [
            FittedNumber(f"{what} in mode {letter}", float(value), float(error), unit)
            for what, value, error, unit in shown
        ]
        found.append(
            FittedNumber(
                f"staying in {letter} at a step",
                float(moves[mode, mode]),
                float(staying[mode]),
                "1",
            )
        )
    return tuple(found)


def _others(moves: np.ndarray, mode: int) -> np.ndarray:
    """Return the probabilities to leave a mode for each other one."""
    return np.delete(moves[mode], mode)


class _ModeLikelihood(eqx.Module):
    """The log-likelihood of a series as a function of what each mode looks like."""

    observations: Observations
    initial: Float[Array, " mode"]
    counts: bool = eqx.field(static=True)
    unit: str = eqx.field(static=True)

    def __call__(self, values: dict[str, Any]) -> Scalar:
        modes = self.initial.shape[0]
        stay = values["stay"]
        split = values.get("split", jnp.ones_like(stay))
        rows = []
        for mode in range(modes):
            leave = 1.0 - stay[mode]
            row = [leave * split[mode], leave * (1.0 - split[mode])][: modes - 1]
            rows.append(jnp.stack([*row[:mode], stay[mode], *row[mode:]]))
        emission: AbstractEmission = (
            PoissonEmission(values["mean"], (self.unit,))
            if self.counts
            else GaussianEmission(
                values["mean"][:, None], values["sd"][:, None] ** 2, (self.unit,)
            )
        )
        model = HiddenMarkov(self.initial, jnp.stack(rows), emission)
        return filter_series(
            model, self.observations, ForwardBackward(), cov="none"
        ).log_likelihood
