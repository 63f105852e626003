"""The page a benchmark run ends with: one file, no script, nothing loaded."""

import jinja2
import numpy as np
import xarray as xr
from markupsafe import Markup

from slipstate.report.figures.case_calibration import draw_case_calibration
from slipstate.report.figures.case_series import (
    draw_case_errors,
    draw_case_series,
    draw_case_weights,
)
from slipstate.report.words import Table

_FILES = jinja2.PackageLoader("slipstate.report", ".")
_TEMPLATES = jinja2.Environment(
    loader=_FILES,
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)
_FACTS = {
    "slipstate_version": "slipstate",
    "case": "case",
    "method": "method",
    "settings": "settings",
    "members_words": "ensemble",
    "cycles": "cycles",
    "burn": "burn-in",
    "interval": "time between observations",
    "seed": "seed",
    "Conventions": "conventions",
}
# Name of a score: what it is, and what a perfect filter has.
_SCORES = {
    "rmse": ("RMSE of the mean", ""),
    "spread": ("Spread", ""),
    "spread_skill": ("Spread / error, finite ensemble", "1"),
    "crps": ("Fair CRPS of the state", ""),
    "energy": ("Fair energy score of the state", ""),
    "crps_forecast": ("Fair CRPS of the next observation / noise", ""),
    "log_score": ("Log score of observation / noise [nats per value]", ""),
    "coverage50": ("Truth inside 50 % intervals", "coverage50_target"),
    "coverage90": ("Truth inside 90 % intervals", "coverage90_target"),
    "coverage50_forecast": (
        "Next observation inside 50 % intervals",
        "coverage50_target",
    ),
    "coverage90_forecast": (
        "Next observation inside 90 % intervals",
        "coverage90_target",
    ),
    "nis": ("Innovation squared / variance (NIS)", "1"),
    "lag_one": ("Innovations: correlation at lag 1", "0"),
    "whiteness_p": ("Innovations: p-value of whiteness (Ljung-Box, 10 lags)", ""),
    "rank_chi2_per_rank": ("Ranks of the observation: χ² per rank", "1"),
    "rank_p": ("Ranks of the observation: p-value of flatness", ""),
    "pit_distance": ("PIT: Kolmogorov-Smirnov distance", "0"),
    "pit_p": ("PIT: p-value of uniformity", ""),
    "effective": ("Effective members", ""),
    "bandwidth": ("Bandwidth h", ""),
}
_SHARES = ("coverage",)


def write_case_page(run: xr.Dataset) -> str:
    """Return the report of a benchmark run as one self-contained HTML page.

    Args:
        run: The run with its scores.

    Returns:
        The text of the page.
    """
    attrs = {str(name): str(value) for name, value in run.attrs.items()}
    weights = draw_case_weights(run)
    good = _calibrated(run)
    return _TEMPLATES.get_template("case.html.jinja").render(
        css=Markup(_FILES.get_source(_TEMPLATES, "page.css")[0]),
        version=attrs["slipstate_version"],
        title=attrs["case"].replace("_", " "),
        method=attrs["method_words"],
        described=describe_case(run),
        state="won" if good else "lost",
        headline="Calibrated" if good else "Not calibrated",
        verdict=attrs["verdict"],
        scores=scores_shown(run),
        series=draw_case_series(run),
        errors=draw_case_errors(run),
        trust=draw_case_calibration(run),
        weights=weights,
        facts=[(word, attrs[name]) for name, word in _FACTS.items() if name in attrs],
        history=attrs["history"],
    )


def _calibrated(run: xr.Dataset) -> bool:
    """Tell whether spread and error agree, and intervals cover as they should."""
    names = ("spread_skill", "coverage90", "coverage90_target")
    ratio, got, right = (float(run["score"].sel(score_name=name)) for name in names)
    return bool(np.isfinite(ratio) and 0.85 <= ratio <= 1.2 and abs(got - right) < 0.05)


def describe_case(run: xr.Dataset) -> str:
    """Say in two sentences what was followed.

    Args:
        run: The run.
    """
    size, obs = int(run.attrs["state_size"]), run.sizes["obs"]
    words = str(run.attrs["method_words"])
    cycles, burn = run.sizes["time"], int(run.attrs["burn"])
    first = f" after a burn-in of {burn:,}" if burn else ""
    states = "component" if size == 1 else "components"
    values = "value" if obs == 1 else "values"
    return (
        f"A simulated truth of {size:,} {states}, {obs:,} {values} of it observed "
        f"every {run.attrs['interval']}, followed by the {words} with "
        f"{run.attrs['members_words']}. {cycles - burn:,} cycles are scored{first}."
    )


def scores_shown(run: xr.Dataset) -> Table:
    """Return the table of scores as it is shown.

    Args:
        run: The run with its scores.
    """
    names = [str(name) for name in run["score_name"].values]
    value = dict(zip(names, run["score"].values.astype(float)))
    error = dict(zip(names, run["score_error"].values.astype(float)))
    rows = []
    for name, (words, target) in _SCORES.items():
        if name not in value:
            continue
        share = name.startswith(_SHARES)
        right = _number(value[target], share) if target in value else target
        if name == "rmse" and run.attrs["accepted"]:
            right = f"{str(run.attrs['accepted']).replace(' to ', '–')}, other programs"
        doubt = f" ± {_number(error[name], share)}" if np.isfinite(error[name]) else ""
        rows.append([words, f"{_number(value[name], share)}{doubt}", right])
    return Table(["Score", "Value", "Right"], rows, [""] * len(rows))


def _number(value: float, share: bool) -> str:
    if not np.isfinite(value):
        return "–"
    if share:
        return f"{100.0 * value:.1f} %"
    text = f"{value:.3f}" if abs(value) < 100.0 else f"{value:.4g}"
    return text.replace("-", "−")
