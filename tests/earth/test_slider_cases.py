"""The limit cycles of five sliders, against a twin written for SciPy alone.

tests/reference/slider_cycles.json was computed by `twin_cycle` below with DOP853 and
Radau at rtol 1e-12; the slow test computes it again.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from slipstate.earth import (
    AgeingLaw,
    CutoffLaw,
    CycleOutcome,
    SlipLaw,
    SpringSlider,
)
from slipstate.earth.slider import RADIATION_DAMPING

TABLE = json.loads(
    (Path(__file__).parents[1] / "reference" / "slider_cycles.json").read_text()
)
LAWS = {"ageing": AgeingLaw(), "slip": SlipLaw(), "cutoff": CutoffLaw(1e-7)}
NAMES = list(TABLE["cases"])
QUANTITIES = (
    "recurrence",
    "peak_rate",
    "stress_drop",
    "event_drop",
    "event_slip",
    "event_duration",
)


def build(name: str) -> SpringSlider:
    p = TABLE["cases"][name]["parameters"]
    return SpringSlider(
        a=p["a"], b=p["b"], Dc=p["Dc"], sigma=p["sigma"], k=p["k"], Vpl=p["Vpl"],
        eta=p["eta"], law=LAWS[p["law"]],
    )  # fmt: skip


def twin_cycle(name: str, method: str) -> dict[str, float]:
    """Integrate V and theta's logarithms in NumPy, and read the last cycle."""
    p = TABLE["cases"][name]["parameters"]
    a, b, Dc, sigma, k, Vpl, eta = (
        p[n] for n in ("a", "b", "Dc", "sigma", "k", "Vpl", "eta")
    )
    kappa, damping, f0, V0, Vc = k * Dc / sigma, eta * Vpl / sigma, 0.6, 1e-6, 1e-7
    level = np.log(p["threshold"] / Vpl)

    def rates(_, u):
        x, y = u
        speed = np.exp(x)
        drift = -speed * (x + y) if p["law"] == "slip" else np.exp(-y) - speed
        q = np.exp(y) * Vc / Vpl
        share = q / (1 + q) if p["law"] == "cutoff" else 1.0
        return [
            (kappa * (1 - speed) - b * share * drift) / (a + damping * speed),
            drift,
        ]

    def stress(u):
        x, y = u
        q = np.exp(y) * Vc / Vpl
        state = np.log1p(q) if p["law"] == "cutoff" else y + np.log(V0 / Vpl)
        friction = f0 + a * (x + np.log(Vpl / V0)) + b * state
        return sigma * friction + eta * Vpl * np.exp(x)

    events = [lambda _, u: u[0], lambda _, u: u[0] - level, lambda t, u: rates(t, u)[0]]
    end = p["spin_up_cycles"] * TABLE["cases"][name]["recurrence"] * Vpl / Dc
    run = solve_ivp(
        rates, [0, end], [1.0, 0.0], method, rtol=1e-12, atol=1e-12, events=events
    )
    second = Dc / Vpl
    t, u = run.t_events[0], run.y_events[0]
    if rates(0.0, u[-1])[0] < 0:
        t, u = t[:-1], u[:-1]  # end with a rise: rise, fall, rise
    t_edge, u_edge = run.t_events[1], run.y_events[1]
    inside = (t_edge > t[-3]) & (t_edge < t[-1])
    drop = duration = slip = 0.0
    if inside.any():
        (up, down), (first, last) = t_edge[inside], u_edge[inside]
        drop, duration = stress(first) - stress(last), (down - up) * second
        slip = Vpl * duration + drop / k
    return {
        "recurrence": (t[-1] - t[-3]) * second,
        "peak_rate": Vpl * np.exp(run.y_events[2][-4:, 0].max()),
        "stress_drop": stress(u[-3]) - stress(u[-2]),
        "event_drop": drop,
        "event_slip": slip,
        "event_duration": duration,
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_limit_cycle_is_that_of_the_table(name):
    threshold = TABLE["cases"][name]["parameters"]["threshold"]
    cycle = build(name).limit_cycle(rtol=1e-10, threshold=threshold)
    expected = TABLE["cases"][name]
    assert cycle.outcome == CycleOutcome.successful
    assert float(cycle.recurrence) == pytest.approx(expected["recurrence"], rel=3e-9)
    assert float(cycle.peak_rate) == pytest.approx(expected["peak_rate"], rel=1e-7)
    for quantity in QUANTITIES[2:]:
        found = float(getattr(cycle, quantity))
        # a difference of two times near the blow-up of V loses a digit
        tolerance = 1e-6 if quantity == "event_duration" else 1e-7
        assert found == pytest.approx(expected[quantity], rel=tolerance, abs=0.0), (
            quantity
        )


def test_case_a_has_its_published_numbers():
    cycle = build("A").limit_cycle(rtol=1e-10)
    assert float(cycle.recurrence) == pytest.approx(1.3853220e9, rel=1e-6)
    assert float(cycle.peak_rate) == pytest.approx(1.319177, rel=1e-4)
    assert float(cycle.stress_drop) == pytest.approx(6.784839e6, rel=1e-6)
    assert float(cycle.event_drop) == pytest.approx(6.297428e6, rel=1e-6)
    assert float(cycle.event_slip) == pytest.approx(1.2595, rel=1e-4)
    assert float(cycle.event_duration) == pytest.approx(13.728, rel=1e-4)
    assert float(cycle.slip) == pytest.approx(1.385322, rel=1e-6)


def test_slow_slip_is_counted_from_its_own_threshold():
    cycle = build("C").limit_cycle(threshold=1e-3)
    assert float(cycle.event_drop) == 0.0
    assert float(cycle.event_slip) == 0.0
    assert float(cycle.event_duration) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"),
    [(n, "DOP853") for n in NAMES] + [("A", "Radau"), ("C", "Radau")],
)
def test_the_table_is_what_scipy_computes(name, method):
    found = twin_cycle(name, method)
    for quantity in QUANTITIES:
        tolerance = 1e-6 if quantity == "event_duration" else 1e-7
        assert found[quantity] == pytest.approx(
            TABLE["cases"][name][quantity], rel=tolerance, abs=0.0
        ), quantity


def test_damping_of_the_table_is_that_of_rock():
    assert TABLE["cases"]["A"]["parameters"]["eta"] == pytest.approx(RADIATION_DAMPING)
