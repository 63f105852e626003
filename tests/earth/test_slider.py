import time

import equinox as eqx
import jax
import jax.numpy as jnp
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
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike

LAWS = [AgeingLaw(), SlipLaw(), CutoffLaw(1e-7)]
IDS = ["ageing", "slip", "cutoff"]


def stick_slip(k: ScalarLike = 5e6, law=None, f0=0.6):
    return SpringSlider(
        a=0.010, b=0.015, Dc=1e-2, sigma=50e6, k=k, Vpl=1e-9, f0=f0, law=law
    )


@pytest.mark.parametrize("law", LAWS, ids=IDS)
@pytest.mark.parametrize("f0", [0.6, 0.05])
def test_the_stress_changes_as_the_spring_says(law, f0):
    """d tau/dt = k (Vpl - V) exactly, regularisation included (f0 = 0.05 feels it)."""
    slider = stick_slip(law=law, f0=f0)
    for state in ([-21.0, 17.0], [-14.0, 15.0], [-1.0, -4.0], [-24.0, 19.0]):
        x = jnp.asarray(state)
        _, change = jax.jvp(
            lambda v: slider.stress(v[0], v[1]), (x,), (slider.rates(x),)
        )
        expected = 5e6 * (1e-9 - np.exp(state[0]))
        # relative to the two large terms that cancel
        scale = 50e6 * 0.015 * float(jnp.abs(slider.rates(x)).max())
        assert float(change) == pytest.approx(expected, rel=1e-11, abs=1e-13 * scale)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_creep_with_the_plate_is_steady(law):
    slider = stick_slip(law=law)
    assert float(jnp.abs(slider.rates(slider.steady_state())).max()) < 1e-20
    speed = slider.steady_state()[0]
    assert float(slider.steady_stress(speed)) == pytest.approx(
        float(slider.stress(*slider.steady_state()))
    )


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_at_the_critical_stiffness_creep_is_just_neutral(law):
    slider = stick_slip(law=law)
    critical = slider.critical_stiffness()
    growth = []
    for factor in (0.99, 1.0, 1.01):
        near = stick_slip(k=factor * critical, law=law)
        jacobian = jax.jacfwd(near.rates)(near.steady_state())
        growth.append(np.linalg.eigvals(np.asarray(jacobian)).real.max() * 1e7)
    assert growth[0] > 0 > growth[2]
    assert abs(growth[1]) < 1e-9 * abs(growth[0])


@pytest.mark.slow
def test_above_the_critical_stiffness_it_rings_and_creeps():
    slider = stick_slip(k=1.2 * 25e6)
    cycle = slider.limit_cycle()
    assert cycle.outcome == CycleOutcome.creeps
    assert np.isnan(float(cycle.recurrence))
    ringing = slider.events(30).recurrences()[-1]
    assert float(ringing) == pytest.approx(8.1285e7, rel=2e-5)
    jacobian = jax.jacfwd(slider.rates)(slider.steady_state())
    turn = np.linalg.eigvals(np.asarray(jacobian)).imag.max()
    assert float(ringing) == pytest.approx(2 * np.pi / turn, rel=2e-5)


def test_a_very_stiff_slider_creeps_without_ringing():
    cycle = stick_slip(k=20 * 25e6).limit_cycle()
    assert cycle.outcome == CycleOutcome.creeps


def test_just_below_the_critical_stiffness_the_ageing_law_is_still_fast():
    cycle = stick_slip(k=0.9 * 25e6).limit_cycle()
    assert cycle.outcome == CycleOutcome.successful
    assert float(cycle.peak_rate) == pytest.approx(0.23, rel=0.03)


def test_the_cycle_does_not_depend_on_where_it_was_found():
    slider = stick_slip()
    one = slider.limit_cycle()
    other = slider.limit_cycle(initial=slider.steady_state() + jnp.asarray([-3.0, 1.0]))
    assert float(one.recurrence) == pytest.approx(float(other.recurrence), rel=2e-9)
    np.testing.assert_allclose(one.onset, other.onset, rtol=1e-9)


def test_the_motion_is_that_of_scipy_at_the_users_times():
    slider = stick_slip(k=10e6)
    start = slider.steady_state() + jnp.asarray([1.0, 0.0])
    times = np.linspace(0.0, 2.5e9, 400)

    def rates(_, u):
        V, theta = np.exp(u)
        drift = 1 / theta - V / 1e-2
        top = 10e6 * (1e-9 - V) - 50e6 * 0.015 * drift
        return [top / (50e6 * 0.010 + 0.5 * 2670 * 3464 * V), drift]

    twin = solve_ivp(
        rates, times[[0, -1]], start, "DOP853", times, rtol=1e-12, atol=1e-12
    )
    run = slider.simulate(times, start)
    np.testing.assert_allclose(run.ln_speed, twin.y[0], atol=2e-6)
    np.testing.assert_allclose(run.ln_state, twin.y[1], atol=2e-6)


def test_slip_is_the_integral_of_speed():
    slider = SpringSlider(
        a=0.010, b=0.015, Dc=4e-3, sigma=2e6, k=1.25e6, Vpl=1e-9, law=CutoffLaw(1e-7)
    )
    times = jnp.linspace(0.0, 2e8, 400_001)
    run = slider.simulate(times)
    speed = np.exp(np.asarray(run.ln_speed))
    steps = 0.5 * (speed[1:] + speed[:-1]) * np.diff(times)
    np.testing.assert_allclose(run.slip[1:], np.cumsum(steps), atol=2e-5)
    balance = slider.Vpl * run.times - run.slip
    np.testing.assert_allclose(
        run.stress - run.stress[0], slider.k * balance, atol=1e-6
    )


def test_events_settle_to_the_limit_cycle():
    slider = stick_slip()
    cycle, events = slider.limit_cycle(), slider.events(5)
    np.testing.assert_allclose(
        events.recurrences()[1:], float(cycle.recurrence), rtol=1e-9
    )
    np.testing.assert_allclose(
        events.stress_drops()[1:], float(cycle.stress_drop), rtol=1e-9
    )
    assert bool(jnp.all(events.end > events.onset))


def test_the_peak_is_where_the_cycle_says():
    slider = stick_slip()
    cycle = slider.limit_cycle()
    near = float(cycle.time_to_peak) + np.linspace(-3.0, 3.0, 601)
    run = slider.simulate(np.concatenate([[0.0], near]), cycle.onset)
    highest = int(jnp.argmax(run.ln_speed))
    assert abs(float(run.times[highest]) - float(cycle.time_to_peak)) < 0.05
    assert float(jnp.exp(run.ln_speed[highest])) == pytest.approx(
        float(cycle.peak_rate), rel=1e-5
    )


def test_many_sliders_are_many_single_ones():
    stiffness = 25e6 * jnp.asarray([0.1, 0.2, 0.5])
    many = eqx.filter_vmap(lambda k: stick_slip(k=k))(stiffness)
    together = eqx.filter_vmap(lambda s: s.limit_cycle())(many)
    for i, k in enumerate(stiffness):
        alone = stick_slip(k=k).limit_cycle()
        assert float(together.recurrence[i]) == pytest.approx(
            float(alone.recurrence), rel=1e-9
        )
        assert float(together.peak_rate[i]) == pytest.approx(
            float(alone.peak_rate), rel=1e-9
        )


def test_a_second_slider_compiles_nothing_and_ten_cycles_are_fast():
    stick_slip(k=4e6).events(10)
    slider = stick_slip(k=5e6)
    elapsed = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(slider.events(10))
        elapsed.append(time.perf_counter() - start)
    assert min(elapsed) < 0.1


def test_each_parameter_must_be_positive():
    names = ("a", "b", "Dc", "sigma", "k", "Vpl", "eta", "f0", "V0")
    good = (0.010, 0.015, 1e-2, 50e6, 5e6, 1e-9, 4.6e6, 0.6, 1e-6)
    for place, name in enumerate(names):
        for bad in (0.0, -1.0, float("nan")):
            given = [bad if i == place else value for i, value in enumerate(good)]
            a, b, Dc, sigma, k, Vpl, eta, f0, V0 = given
            with pytest.raises(InputError, match=f"`{name}` must be positive"):
                SpringSlider(a, b, Dc, sigma, k, Vpl, eta, f0, V0)


def test_impossible_requests_are_refused():
    slider = stick_slip()
    with pytest.raises(InputError, match="`threshold` must exceed"):
        slider.limit_cycle(threshold=1e-10)
    with pytest.raises(InputError, match="`count` must be 1 or more"):
        slider.events(0)
    with pytest.raises(InputError, match="`times` must increase"):
        slider.simulate([0.0, 2.0, 1.0])
    with pytest.raises(InputError, match="`times` must hold two"):
        slider.simulate([0.0])
    with pytest.raises(InputError, match="`initial` must have shape"):
        slider.events(1, initial=[1.0])
