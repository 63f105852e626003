"""The whole of `slipstate fit` but its page: a record in, models beside each other."""

from typing import NamedTuple

import jax
import pandas as pd
import xarray as xr

from slipstate.fit.candidates import choose_candidates
from slipstate.fit.compare import Followed, compare, follow
from slipstate.fit.dataset import fit_dataset, model_table, parameter_table
from slipstate.fit.progress import Progress, SilentProgress
from slipstate.fit.series import column_series
from slipstate.ground.errors import InputError

_SEED = 20_100_405


class Comparison(NamedTuple):
    """Models of one series beside each other.

    Attributes:
        fit: Everything with a time axis; its models stand best first.
        parameters: Table of fitted parameters.
        models: Table of models and baselines, best first.
    """

    fit: xr.Dataset
    parameters: pd.DataFrame
    models: pd.DataFrame


def fit_models(
    record: xr.Dataset,
    names: list[str] | None = None,
    *,
    column: str | None = None,
    train: float = 0.7,
    horizon: int = 30,
    progress: Progress | None = None,
) -> Comparison:
    """Fit models to the first part of a column and compare them on the rest.

    Args:
        record: The record of one station.
        names: Names of candidates; None for all that the series can be fitted with.
        column: Component; None for the first.
        train: Part of the observed samples, the first ones, to fit to.
        horizon: Steps to forecast beyond the last row.
        progress: Shows how far the work is.

    Returns:
        The comparison.

    Raises:
        InputError: A name is unknown or does not fit, or the series is too short.
    """
    if horizon < 1:
        raise InputError(f"`horizon` must be at least 1 step; got {horizon}. Pass 30.")
    series = column_series(record, column, train=train)
    chosen, left_out = choose_candidates(names, series)
    shown = SilentProgress() if progress is None else progress
    followed: list[Followed] = []
    with shown.task("fitting models", "model") as advance:
        advance(0, len(chosen))
        for number, candidate in enumerate(chosen):
            key = jax.random.fold_in(jax.random.key(_SEED), number)
            followed.append(follow(candidate.fit(series, key), series))
            advance(number + 1, len(chosen))
    scores = compare(followed, series)
    with shown.task("forecasting", "step") as advance:
        advance(0, 1)
        fit = fit_dataset(series, followed, scores, horizon=horizon, source=record)
        advance(1, 1)
    order = [str(name) for name in fit["model"].values]
    followed.sort(key=lambda model: order.index(model.fitted.name))
    return Comparison(
        fit, parameter_table(followed), model_table(followed, scores, left_out)
    )
