"""Models beside each other: how well each predicts rows that it was not fitted to.

Every model predicts the same rows one step ahead, from the rows before each. The score
is -log p(row | rows before) [nats], smaller is better. Differences to the best are
paired, row by row, and their standard error comes from means of batches of rows, so
that neighbours that miss together do not count as independent.

Two baselines know no model: persistence, N(last observation, s^2 gap) with s from the
part to fit, and climatology, N(mean, sd) of the part to fit.

References:
    Gneiting & Raftery (2007), Strictly proper scoring rules, J. Am. Statist. Assoc.
    102. Diebold & Mariano (1995), Comparing predictive accuracy, J. Business & Economic
    Statistics 13.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from slipstate.assimilate.results import FilterResult, SmoothResult
from slipstate.assimilate.run import smooth_series
from slipstate.fit.fitted import Fitted
from slipstate.fit.predictive import Predictive, States, predictive, signal
from slipstate.fit.series import Series

BASELINES = ("persistence", "climatology")


class Followed(NamedTuple):
    """A fitted model over the whole series.

    Attributes:
        fitted: The model.
        filter: Result of its filter.
        predicted: Its one-step predictions.
        log_densities: log p(row | rows before) [nats]; NaN where nothing was observed.
        filtered: The noise-free series as known at the time, mean and sd.
        smoothed: The same once everything was seen.
        mode_probs: Probability of each mode as known at the time and once everything
            was seen (time, mode); None where it has no modes.
    """

    fitted: Fitted
    filter: FilterResult
    predicted: Predictive
    log_densities: Float[np.ndarray, " time"]
    filtered: tuple[np.ndarray, np.ndarray]
    smoothed: tuple[np.ndarray, np.ndarray]
    mode_probs: tuple[np.ndarray, np.ndarray] | None


class Score(NamedTuple):
    """How well one model or baseline predicted the rows it was not fitted to.

    Attributes:
        name: Model or baseline.
        log_score: Mean of -log p(row) [nats per observation], smaller is better.
        behind: How much that is above the best [nats per observation].
        behind_error: Standard error of the difference; 0 for the best.
        nis: Mean of (error / predicted sd)^2; 1 where calibrated.
        coverage: Part of the rows inside the central 90 % interval.
        scored: How many rows were scored.
    """

    name: str
    log_score: float
    behind: float
    behind_error: float
    nis: float
    coverage: float
    scored: int


def follow(fitted: Fitted, series: Series) -> Followed:
    """Filter and smooth the whole series with a fitted model.

    Args:
        fitted: The model.
        series: The series.
    """
    result: SmoothResult = smooth_series(
        fitted.model, series.observations, fitted.method
    )
    seen = np.isfinite(series.values)
    terms = np.asarray(result.filter.step_log_likelihoods)
    probs = None
    if fitted.modes:
        probs = np.asarray(result.filter.probs), np.asarray(result.probs)
    return Followed(
        fitted,
        result.filter,
        predictive(fitted.model, _states(result.filter.predicted)),
        np.where(seen, terms, np.nan),
        signal(fitted.model, _states(result.filter.filtered)),
        signal(fitted.model, _states(result.smoothed)),
        probs,
    )


def baseline_predictions(series: Series) -> dict[str, Predictive]:
    """Return the predictions of persistence and climatology for every row.

    Args:
        series: The series.
    """
    y, t = series.values, series.times
    seen = np.flatnonzero(np.isfinite(y))
    head = seen[seen < series.cut]
    gaps, moves = np.diff(t[head]), np.diff(y[head])
    variance = float(np.mean(moves**2 / gaps))  # of a random walk, per time
    mean, wait = np.full(y.size, np.nan), np.full(y.size, np.nan)
    before = np.searchsorted(seen, np.arange(y.size)) - 1
    there = before >= 0
    mean[there] = y[seen[before[there]]]
    wait[there] = t[there] - t[seen[before[there]]]
    rows = np.ones((y.size, 1))
    return {
        "persistence": Predictive(
            rows, mean[:, None], np.sqrt(variance * wait)[:, None]
        ),
        "climatology": Predictive(
            rows, rows * np.mean(y[head]), rows * np.std(y[head])
        ),
    }


def compare(followed: list[Followed], series: Series) -> list[Score]:
    """Score models and baselines on the rows they were not fitted to, best first.

    Args:
        followed: The models.
        series: The series.
    """
    y = series.values
    held = np.isfinite(y) & (np.arange(y.size) >= series.cut)
    terms = {model.fitted.name: model.log_densities for model in followed}
    said = {model.fitted.name: model.predicted for model in followed}
    for name, prediction in baseline_predictions(series).items():
        said[name], terms[name] = prediction, prediction.log_density(y)
    losses = {name: -values[held] for name, values in terms.items()}
    means = {name: float(np.mean(loss)) for name, loss in losses.items()}
    # a model that failed at some row has no score and stands last
    order = sorted(means, key=lambda name: (not np.isfinite(means[name]), means[name]))
    best = losses[order[0]]
    scores = []
    for name in order:
        mean, sd = said[name].moments()
        pit = said[name].pit(y)[held]
        apart = losses[name] - best
        scores.append(
            Score(
                name,
                means[name],
                float(np.mean(apart)),
                0.0 if name == order[0] else batch_error(apart),
                float(np.mean(((y - mean)[held] / sd[held]) ** 2)),
                float(np.mean(np.abs(pit - 0.5) <= 0.45)),
                int(held.sum()),
            )
        )
    return scores


def batch_error(values: Float[np.ndarray, " row"]) -> float:
    """Return the standard error of a mean of neighbours that may be correlated.

    The rows are cut into about sqrt(n) batches of as many rows; their means are nearly
    independent where correlation dies out within one.

    Args:
        values: At least two.

    Returns:
        The standard error; NaN of fewer than two values.
    """
    if values.size < 2:
        return float("nan")
    size = max(1, int(np.sqrt(values.size)))
    count = values.size // size
    means = values[: count * size].reshape(count, size).mean(1)
    return float(np.std(means, ddof=1) / np.sqrt(count))


def _states(states: object) -> States:
    """Return the states of a filter, all of which were kept."""
    assert isinstance(states, States)
    return states


def training_rows(series: Series) -> Bool[np.ndarray, " time"]:
    """Return which rows models were fitted to."""
    return np.arange(series.values.size) < series.cut
