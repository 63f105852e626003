"""The page: complete, self-contained, honest, small and quick."""

import html.parser
import re
import time

import numpy as np
import pandas as pd
import pytest

from slipstate.report import write_report
from slipstate.watch import scorecard

VOID = {"meta", "br", "hr", "img", "link", "input"}


class _Reader(html.parser.HTMLParser):
    """Collects what a browser would load, the identifiers, and unbalanced tags."""

    def __init__(self):
        html.parser.HTMLParser.__init__(self)
        self.open, self.wrong, self.ids, self.links, self.text = [], [], [], [], []
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in {"src", "href", "xlink:href", "srcset", "data"}:
                self.links.append(value or "")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text.append(data)


def _read(page):
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def pages(station, network, fault):
    return {
        name: write_report(*case)
        for name, case in (("one", station), ("many", network), ("fault", fault))
    }


@pytest.mark.parametrize("name", ["one", "many", "fault"])
def test_the_page_is_well_formed_and_loads_nothing(pages, name):
    reader = _read(pages[name])
    assert reader.wrong == []
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids)), "identifiers must be unique"
    for link in reader.links:
        assert link.startswith(("#", "data:image/png;base64,")), link[:80]
        if link.startswith("#"):
            assert link[1:] in reader.ids
    assert not {tag for tag, _ in reader.tags} & {"script", "iframe", "object"}
    for target in re.findall(r"url\(([^)]*)\)", pages[name]):
        assert target.startswith("#")
        assert target[1:] in reader.ids


@pytest.mark.parametrize("name", ["one", "many", "fault"])
def test_every_figure_has_words_for_those_who_cannot_see_it(pages, name):
    reader = _read(pages[name])
    plots = [attrs for _, attrs in reader.tags if attrs.get("class") == "plot"]
    figures = [tag for tag, _ in reader.tags if tag == "figure"]
    assert len(plots) == len(figures) >= 4
    assert all(len(plot["aria-label"]) > 20 for plot in plots)
    drawn = re.sub(r"base64,[^\"]*", "", pages[name])
    assert "NaN" not in drawn
    assert "nan" not in "".join(reader.text).split()


def test_the_first_words_say_what_was_watched_and_how_well(pages, station):
    run, events = station
    text = " ".join("".join(_read(pages["one"]).text).split())
    start = text[: text.index("Provenance")][:1200]
    order = [start.index("Station ALBH"), start.index(run.attrs["verdict"])]
    order.append(start.index(f"{len(events)} events were flagged"))
    assert order == sorted(order)
    for onset in events["onset"]:
        assert onset[:10] in text


def test_a_lost_baseline_stands_in_the_first_lines(station):
    run, events = station
    run = run.drop_vars(["score", "score_component", "crps_gain", "crps_gain_se"])
    run = run.drop_dims(["method", "metric"], errors="ignore").copy(deep=True)
    run["crps"] = run["crps"] * 50.0
    lost = scorecard(run)
    page = write_report(
        run.merge(lost).assign_attrs(verdict=lost.attrs["verdict"]), events
    )
    start = "".join(_read(page).text)[:1500]
    assert "Does not beat every baseline" in start
    assert "does not beat persistence at 1 day (CRPS" in start
    assert 'class="verdict lost"' in page
    assert 'class="lost"' in page[page.index("Scores by horizon") :]


def test_the_verdict_headline_follows_the_scores(pages, station):
    run, _ = station
    crps = run["score"].sel({"metric": "crps"})
    ours = crps.sel({"method": "slipstate"}).values
    rest = crps.sel({"method": ["persistence", "trajectory", "climatology"]}).values
    won = bool((rest > ours).all())
    assert ("Beats every baseline" in pages["one"]) == won


def test_no_event_is_said_so(station):
    run, events = station
    page = write_report(run, events.iloc[:0])
    assert "No event was flagged." in page
    assert _read(page).wrong == []


def test_the_table_of_a_network_names_those_that_moved_most(pages, network):
    text = "".join(_read(pages["many"]).text)
    assert re.search(r"ALBH −4\.5 ± 0\.4, SC02 −3\.\d", text)
    assert pages["many"].count("<summary>") >= len(network[0].station)


def test_a_fault_shows_its_portrait_and_elapsed_time(pages):
    assert 'id="portrait"' in pages["fault"]
    assert "yr" in pages["fault"]
    assert "steady state" in pages["fault"]
    assert 'id="portrait"' not in pages["one"]


def test_the_same_run_gives_the_same_page(pages, fault):
    assert write_report(*fault) == pages["fault"]


def test_hostile_names_are_only_text(fault):
    run, events = fault
    run = run.assign_attrs(title="<script>alert(1)</script>", source='"><img src=x>')
    page = write_report(run, events)
    assert "<script>" not in page
    assert "<img" not in page


def test_missing_optional_parts_are_left_out(fault):
    run, events = fault
    lean = run.drop_vars(
        ["slip_probability", "member", "truth", "steady_tau", "filtered", "filtered_sd"]
    )
    page = write_report(lean, events)
    assert 'id="probabilities"' not in page
    assert 'id="portrait"' not in page
    assert 'id="series-fault"' in page


def test_trajectory_terms_are_listed_with_units(station):
    run, events = station
    shape = (run.sizes["time"], 1, 3, 2)
    dims = ("time", "station", "component", "term")
    run = run.assign_coords(
        term=["level", "rate"], term_units=("term", ["mm", "mm/yr"])
    )
    run = run.assign(
        term_mean=(dims, np.broadcast_to([12.0, 6.71], shape)),
        term_sd=(dims, np.broadcast_to([0.3, 0.042], shape)),
    )
    page = write_report(run, events)
    assert "rate (mm/yr)" in page
    assert "6.71 ± 0.04" in page


def test_an_unknown_horizon_is_refused(station):
    with pytest.raises(ValueError, match="`horizon`"):
        write_report(*station, horizon=7.0)


def test_one_station_is_small_and_quick(station):
    start = time.process_time()
    page = write_report(*station)
    assert time.process_time() - start < 3.0  # 0.8 s on an idle core
    assert len(page.encode()) < 5e6


def test_all_series_missing_at_the_end_are_drawn(station):
    run, events = station
    run = run.copy(deep=True)
    run["observed_mask"][-200:] = False
    run["observed_mask"][:, :, 2] = False
    run["observed"] = run["observed"].where(run["observed_mask"])
    page = write_report(run, pd.concat([events, events.iloc[-1:]]))
    assert _read(page).wrong == []
