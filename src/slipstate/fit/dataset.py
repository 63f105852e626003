"""A fit as files: `fit.nc`, `parameters.csv` and `models.csv`."""

import datetime
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from slipstate import __version__
from slipstate.assimilate.forecast import forecast
from slipstate.fit.compare import BASELINES, Followed, Score, training_rows
from slipstate.fit.predictive import predictive
from slipstate.fit.series import Series
from slipstate.ground.solution import Outcome

QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95]


def fit_dataset(
    series: Series,
    followed: Sequence[Followed],
    scores: Sequence[Score],
    *,
    horizon: int,
    source: xr.Dataset,
) -> xr.Dataset:
    """Return everything about a fit that has a time axis.

    Args:
        series: The series.
        followed: The models over the whole series.
        scores: Their scores, best first, baselines among them.
        horizon: Steps to forecast beyond the last row.
        source: The record the series came from; its title, source and history go along.

    Returns:
        A dataset with dimensions time, model, forecast_time, quantile and mode. Every
        variable has `units` and `long_name`.
    """
    order = {score.name: number for number, score in enumerate(scores)}
    models = sorted(followed, key=lambda model: order[model.fitted.name])
    unit = series.unit
    y = series.values
    data: dict[str, tuple] = {
        "observed": (("time",), y, _words(unit, "observed value")),
        "training": (
            ("time",),
            training_rows(series),
            _words("1", "true where models were fitted to"),
        ),
    }

    def add(name: str, values: list[np.ndarray], units: str, words: str) -> None:
        dims = ("model", "time")
        data[name] = (dims, np.stack(values), _words(units, words))

    moments = [_known_moments(model) for model in models]
    errors = [np.where(np.isfinite(y), y - mean, np.nan) for mean, _ in moments]
    for kind, words in (
        ("filtered", "noise-free signal given the rows up to each row"),
        ("smoothed", "noise-free signal given all rows"),
    ):
        pairs = [
            model.filtered if kind == "filtered" else model.smoothed for model in models
        ]
        add(kind, [mean for mean, _ in pairs], unit, words)
        add(f"{kind}_sd", [sd for _, sd in pairs], unit, f"sd of the {words}")
    add("innovation", errors, unit, "observation minus its one-step prediction")
    add(
        "innovation_sd",
        [sd for _, sd in moments],
        unit,
        "standard deviation of the one-step prediction, noise included",
    )
    add(
        "log_density",
        [model.log_densities for model in models],
        "1",
        "log p(row | rows before it) in nats",
    )
    coordinates: dict[str, tuple] = {
        "time": ("time", series.stamps, {"standard_name": "time", "long_name": "time"}),
        "model": (
            "model",
            np.array([model.fitted.name for model in models], np.str_),
            {"long_name": "model, best held-out score first"},
        ),
    }
    _add_modes(data, coordinates, models, y.size)
    _add_forecast(data, coordinates, models, series, horizon)
    return xr.Dataset(data, coordinates, _attributes(series, models, scores, source))


def parameter_table(followed: Sequence[Followed]) -> pd.DataFrame:
    """Return the fitted parameters of all models, one row each.

    Args:
        followed: The models.
    """
    rows = [
        (model.fitted.name, number.name, number.value, number.error, number.unit)
        for model in followed
        for number in model.fitted.numbers
    ]
    heads = ["model", "parameter", "value", "standard_error", "unit"]
    return pd.DataFrame(rows, columns=heads)


def model_table(
    followed: Sequence[Followed],
    scores: Sequence[Score],
    left_out: dict[str, str],
) -> pd.DataFrame:
    """Return all models and baselines, best held-out score first.

    Args:
        followed: The models.
        scores: Scores of models and baselines.
        left_out: Models that do not fit the data, and why.
    """
    by_name = {model.fitted.name: model.fitted for model in followed}
    rows = []
    for score in scores:
        fitted = by_name.get(score.name)
        note = "baseline" if fitted is None else fitted.words
        rows.append(
            {
                **score._asdict(),
                "log_likelihood": np.nan if fitted is None else fitted.log_likelihood,
                "free_parameters": pd.NA if fitted is None else fitted.free,
                "bic": np.nan if fitted is None else fitted.bic,
                "outcome": "" if fitted is None else outcome_name(fitted.outcome),
                "note": note,
            }
        )
    rows += [
        {"name": name, "note": f"left out: {why}"} for name, why in left_out.items()
    ]
    return pd.DataFrame(rows).rename(
        columns={
            "name": "model",
            "log_score": "log_score_nats",
            "behind": "behind_best_nats",
            "behind_error": "behind_best_standard_error_nats",
            "coverage": "coverage90",
        }
    )


def verdict(scores: Sequence[Score]) -> str:
    """Say in a sentence or two which model predicts best, and how surely.

    Args:
        scores: Best first.
    """
    best = scores[0]
    beaten = [score for score in scores if score.name in BASELINES]
    if best.name in BASELINES:
        return (
            f"No model predicts the held-out part better than {best.name} "
            f"({best.log_score:.3f} nats per observation, {best.scored:,} "
            "observations)."
        )
    rest = [score for score in scores[1:] if score.name not in BASELINES]
    close = [score.name for score in rest if score.behind < 2.0 * score.behind_error]
    text = (
        f"{best.name} predicts the held-out part best: {best.log_score:.3f} nats per "
        f"observation ({best.scored:,} observations), "
        + " and ".join(
            f"{score.behind:.3f} ± {score.behind_error:.3f} better than {score.name}"
            for score in beaten
        )
        + "."
    )
    if close:
        text += f" Not clearly behind it: {', '.join(close)}."
    return text


def outcome_name(outcome: Outcome) -> str:
    """Return the name of an outcome, such as "successful"."""
    names = ("successful", "not_converged", "not_finite", "singular_innovation")
    same = [name for name in names if bool(outcome == getattr(Outcome, name))]
    return same[0] if same else "diverged"


def _known_moments(model: Followed) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd of each prediction; NaN while a diffuse start lasts."""
    mean, sd = model.predicted.moments()
    known = np.isfinite(sd)
    return np.where(known, mean, np.nan), np.where(known, sd, np.nan)


def _words(unit: str, long_name: str) -> dict[str, str]:
    return {"units": unit, "long_name": long_name}


def _add_modes(
    data: dict[str, tuple],
    coordinates: dict[str, tuple],
    models: Sequence[Followed],
    rows: int,
) -> None:
    """Add the probability of each mode of the models that have some."""
    letters = sorted({mode for model in models for mode in model.fitted.modes})
    if not letters:
        return
    names = ("mode_probability", "mode_probability_smoothed")
    for at, (name, words) in enumerate(
        zip(names, ("given the rows up to each row", "given all rows"))
    ):
        values = np.full((len(models), len(letters), rows), np.nan)
        for number, model in enumerate(models):
            if model.mode_probs is not None:
                probs = model.mode_probs[at]
                values[number, : probs.shape[1]] = probs.T
        data[name] = (
            ("model", "mode", "time"),
            values,
            _words("1", f"probability of each mode {words}"),
        )
    coordinates["mode"] = (
        "mode",
        np.array(letters, np.str_),
        {"long_name": "mode; the letters mean something within one model only"},
    )


def _add_forecast(
    data: dict[str, tuple],
    coordinates: dict[str, tuple],
    models: Sequence[Followed],
    series: Series,
    horizon: int,
) -> None:
    """Add the distribution of the observations beyond the last row."""
    steps = series.step * np.arange(1, horizon + 1)
    times = float(series.times[-1]) + steps
    quantiles, means, sds = [], [], []
    for model in models:
        ahead = forecast(model.fitted.model, model.filter, times)
        said = predictive(model.fitted.model, ahead.states)
        quantiles.append(said.quantiles(QUANTILES))
        mean, sd = said.moments()
        means.append(mean)
        sds.append(sd)
    unit = series.unit
    data["forecast"] = (
        ("model", "forecast_time", "quantile"),
        np.stack(quantiles),
        _words(unit, "quantiles of the observation at forecast_time"),
    )
    dims = ("model", "forecast_time")
    data["forecast_mean"] = (dims, np.stack(means), _words(unit, "mean of the same"))
    data["forecast_sd"] = (dims, np.stack(sds), _words(unit, "its standard deviation"))
    coordinates["quantile"] = ("quantile", QUANTILES, _words("1", "probability"))
    coordinates["forecast_time"] = (
        "forecast_time",
        later_stamps(series, horizon),
        {"long_name": "time of the forecast observation"},
    )


def later_stamps(series: Series, horizon: int) -> np.ndarray:
    """Return the times of the first rows after the last one.

    Args:
        series: The series.
        horizon: How many.
    """
    steps = np.arange(1, horizon + 1)
    last = series.stamps[-1]
    if series.time_unit == "year":
        start = last.astype("datetime64[Y]")
        within = last - start.astype("datetime64[ns]")
        jumps = np.round(series.step * steps).astype(int)
        return (start + jumps).astype("datetime64[ns]") + within
    unit = 86_400e9 if series.time_unit == "day" else 1e9
    return last + np.round(series.step * unit * steps).astype("timedelta64[ns]")


def _attributes(
    series: Series,
    models: Sequence[Followed],
    scores: Sequence[Score],
    source: xr.Dataset,
) -> dict[str, str]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    best = models[0].fitted
    known = {
        name: str(source.attrs[name])
        for name in ("source", "references", "institution", "license")
        if source.attrs.get(name)
    }
    return {
        "Conventions": "CF-1.11",
        "title": f"{series.name}: models of one series",
        "kind": "fit",
        "series": series.name,
        "column": series.column,
        "time_unit": series.time_unit,
        "step": f"{series.step:g}",
        "regular": "yes" if series.regular else "no",
        "best": best.name,
        "best_words": best.words,
        "fitted_by": best.provenance,
        "verdict": verdict(scores),
        "slipstate_version": __version__,
        **known,
        "history": f"{source.attrs.get('history', '')}\n{now}: slipstate fit".strip(),
    }
