"""The page a run ends with: one file, no script, nothing loaded from elsewhere."""

import jinja2
import pandas as pd
import xarray as xr
from markupsafe import Markup

from slipstate.report.figures.diagnostics import draw_diagnostics
from slipstate.report.figures.events import draw_probabilities
from slipstate.report.figures.network import draw_network, draw_offsets
from slipstate.report.figures.portrait import draw_portrait
from slipstate.report.figures.scores import draw_scores
from slipstate.report.figures.series import draw_series
from slipstate.report.headline import describe_filters, verdict_state
from slipstate.report.style import Drawing
from slipstate.report.words import (
    describe_events,
    describe_watched,
    event_table,
    score_table,
    term_table,
)

# Attributes with a place of their own on the page; the others are settings.
_FACTS = {
    "slipstate_version": "slipstate",
    "versions": "versions",
    "source": "source",
    "source_files": "source files",
    "institution": "institution",
    "license": "licence of the data",
    "licence": "licence of the data",
    "references": "references",
    "Conventions": "conventions",
}
_ELSEWHERE = {"title", "verdict", "history", "kind", "engine_label"}

_FILES = jinja2.PackageLoader("slipstate.report", ".")
_TEMPLATES = jinja2.Environment(
    loader=_FILES,
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


def write_report(
    run: xr.Dataset, events: pd.DataFrame, *, horizon: float | None = None
) -> str:
    """Return the report of a run as one self-contained HTML page.

    Args:
        run: The run, with the scores and the verdict of `watch.scorecard`.
        events: Its table of events; may be empty.
        horizon: Horizon of the forecast fan [days]; None: the middle one.

    Returns:
        The text of the page. The same input gives the same text.
    """
    stations = [str(s) for s in run["station"].values]
    many = len(stations) > 1
    series = [draw_series(run, events, s, horizon) for s in stations]
    if many:
        first = [draw_network(run, events), draw_offsets(run, events)]
    else:
        first = [*series]
    first += [draw_probabilities(run, events), draw_portrait(run)]
    state, headline = verdict_state(run)
    facts, settings = _provenance(run)
    score = run["score"].attrs
    return _TEMPLATES.get_template("page.html.jinja").render(
        css=Markup(_FILES.get_source(_TEMPLATES, "page.css")[0]),
        version=run.attrs.get("slipstate_version", ""),
        title=run.attrs.get("title", "Untitled run"),
        watched=describe_watched(run),
        verdict=run.attrs.get("verdict", ""),
        state=state,
        headline=headline,
        flagged=describe_events(run, events),
        event_table=event_table(run, events),
        score_table=score_table(run),
        term_table=term_table(run),
        filters=describe_filters(run),
        pooling=_sentence(str(score.get("pooling", ""))),
        targets=_targets(score),
        seasons=run.attrs.get("kind") != "fault",
        first=_there(first),
        scores=[draw_scores(run)],
        trust=[draw_diagnostics(run)],
        stations=series if many else [],
        facts=facts,
        settings=settings,
        history=run.attrs.get("history", ""),
    )


def _there(drawings: list[Drawing | None]) -> list[Drawing]:
    return [drawing for drawing in drawings if drawing is not None]


def _provenance(run: xr.Dataset) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    attrs = {str(name): str(value) for name, value in run.attrs.items()}
    facts = [(word, attrs[name]) for name, word in _FACTS.items() if name in attrs]
    rest = set(attrs) - set(_FACTS) - _ELSEWHERE
    return facts, [(name.replace("_", " "), attrs[name]) for name in sorted(rest)]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _targets(score: dict) -> str:
    shares = (float(score.get(f"coverage{n}_target", n / 100)) for n in (50, 90))
    return " and ".join(f"{100 * share:.1f} %" for share in shares) + " of observations"
