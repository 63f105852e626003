"""The page a fit ends with: one file, no script, nothing loaded from elsewhere."""

import re

import jinja2
import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup

from slipstate.report.figures.fit_diagnostics import draw_fit_diagnostics
from slipstate.report.figures.fit_modes import draw_fit_modes
from slipstate.report.figures.fit_series import draw_fit_series
from slipstate.report.style import Drawing
from slipstate.report.words import Table

_BASELINES = ("persistence", "climatology")
_TIMES = {"s": "seconds", "day": "days", "year": "calendar years"}
_FACTS = {
    "slipstate_version": "slipstate",
    "source": "source",
    "institution": "institution",
    "license": "licence of the data",
    "references": "references",
    "fitted_by": "best model fitted by",
    "Conventions": "conventions",
}
_FILES = jinja2.PackageLoader("slipstate.report", ".")
_TEMPLATES = jinja2.Environment(
    loader=_FILES,
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


def write_fit_page(
    fit: xr.Dataset, parameters: pd.DataFrame, models: pd.DataFrame
) -> str:
    """Return the report of a fit as one self-contained HTML page.

    Args:
        fit: Everything with a time axis; its models stand best first.
        parameters: Table of fitted parameters.
        models: Table of models and baselines, best first.

    Returns:
        The text of the page.
    """
    best = str(fit.attrs["best"])
    modes: list[Drawing] = []
    for name in fit["model"].values:
        drawing = draw_fit_modes(fit, str(name))
        if drawing is not None:
            modes.append(drawing)
    left_out = models.loc[models["note"].str.startswith("left out")]
    own = parameters["model"] == best
    top = str(models["model"].iloc[0])
    won = top not in _BASELINES
    attrs = {str(name): str(value) for name, value in fit.attrs.items()}
    return _TEMPLATES.get_template("fit.html.jinja").render(
        css=Markup(_FILES.get_source(_TEMPLATES, "page.css")[0]),
        version=attrs["slipstate_version"],
        title=attrs["series"],
        described=describe_series(fit),
        state="won" if won else "lost",
        headline=f"Best: {best}" if won else "No model beats the baselines",
        verdict=attrs["verdict"],
        best=best,
        best_words=attrs["best_words"],
        models=models_shown(models),
        left_out=[
            (str(row["model"]), str(row["note"]).removeprefix("left out: "))
            for row in left_out.to_dict("records")
        ],
        own=parameters_shown(parameters.loc[own]),
        others=parameters_shown(parameters.loc[~own], named=True),
        series=draw_fit_series(fit),
        trust=draw_fit_diagnostics(fit),
        modes=modes,
        facts=[(word, attrs[name]) for name, word in _FACTS.items() if name in attrs],
        history=attrs["history"],
    )


def describe_series(fit: xr.Dataset) -> str:
    """Say in two sentences what was fitted.

    Args:
        fit: The fit.
    """
    stamps = fit["time"].values.astype("datetime64[ns]")
    seen = np.isfinite(fit["observed"].values)
    training = fit["training"].values.astype(bool)
    unit = str(fit.attrs["time_unit"])
    step = float(str(fit.attrs["step"]))
    each = f"{step:g} {unit}" + ("s" if step != 1.0 and unit != "s" else "")
    if unit == "s":
        span = (stamps[-1] - stamps[0]) / np.timedelta64(1, "s")
        period = f"over {span:,.6g} s"
    else:
        first, last = (str(stamp.astype("datetime64[D]")) for stamp in stamps[[0, -1]])
        period = f"from {first} to {last}"
    spacing = f"{each} apart" if fit.attrs["regular"] == "yes" else "at irregular times"
    missing = int((~seen).sum())
    gaps = f", {missing:,} more missing" if missing else ""
    return (
        f"{int(seen.sum()):,} samples {spacing} {period}{gaps}. Models were fitted to "
        f"the first {int((seen & training).sum()):,} and scored on the other "
        f"{int((seen & ~training).sum()):,}. Time counts in {_TIMES[unit]}."
    )


def models_shown(models: pd.DataFrame) -> Table:
    """Return the table of models as it is shown.

    Args:
        models: Table of models and baselines, best first.
    """
    heads = [
        "Model",
        "Log score",
        "Behind the best",
        "NIS",
        "Cover of 90 %",
        "Log-likelihood, fitted part",
        "Free",
        "BIC",
        "Search",
    ]
    rows, marks = [], []
    scored = models.loc[models["log_score_nats"].notna()]
    for number, row in enumerate(scored.to_dict("records")):
        behind = f"{row['behind_best_nats']:.3f} ± "
        behind += f"{row['behind_best_standard_error_nats']:.3f}"
        name = str(row["model"])
        baseline = name in _BASELINES
        rows.append(
            [
                name,
                f"{row['log_score_nats']:.3f}".replace("-", "−"),
                "–" if number == 0 else behind,
                f"{row['nis']:.2f}",
                f"{100.0 * row['coverage90']:.1f} %",
                "–" if baseline else f"{row['log_likelihood']:,.2f}".replace("-", "−"),
                "–" if baseline else f"{int(row['free_parameters'])}",
                "–" if baseline else f"{row['bic']:,.1f}".replace("-", "−"),
                "baseline" if baseline else str(row["outcome"]).replace("_", " "),
            ]
        )
        marks.append("ours" if number == 0 else "")
    return Table(heads, rows, marks)


def parameters_shown(parameters: pd.DataFrame, *, named: bool = False) -> Table:
    """Return the table of parameters as it is shown.

    Args:
        parameters: Table of fitted parameters.
        named: Whether to name the model in each row.
    """
    heads = ["Parameter", "Value", "Standard error", "Unit"]
    rows = []
    for row in parameters.to_dict("records"):
        error = float(row["standard_error"])
        cells = [
            str(row["parameter"]),
            number_in_words(float(row["value"])),
            number_in_words(error) if np.isfinite(error) else "–",
            "" if row["unit"] == "1" else unit_shown(str(row["unit"])),
        ]
        rows.append([str(row["model"]), *cells] if named else cells)
    return Table(["Model", *heads] if named else heads, rows, [""] * len(rows))


def unit_shown(unit: str) -> str:
    """Return a unit with a root sign, such as mm/√day for mm/sqrt(day).

    Args:
        unit: As in `parameters.csv`.
    """
    return re.sub(r"sqrt\((\w+)\)", r"√\1", unit)


def number_in_words(value: float) -> str:
    """Return four significant digits, with powers of ten where they are shorter."""
    if value == 0.0 or 1e-3 <= abs(value) < 1e6:
        text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        return text.replace("-", "−")
    digits, power = f"{value:.3e}".split("e")
    exponent = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits} · 10{exponent}".replace("-", "−")
