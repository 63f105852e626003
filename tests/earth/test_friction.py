import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from slipstate.earth import AgeingLaw, CutoffLaw, RateStateFriction, SlipLaw
from slipstate.earth.friction import asinh_exp
from slipstate.ground.errors import InputError

LAWS = [AgeingLaw(), SlipLaw(), CutoffLaw(1e-7)]
IDS = ["ageing", "slip", "cutoff"]
STATES = [(-40.0, 25.0), (-20.7, 17.0), (-14.0, 16.0), (-2.0, -4.0), (1.0, -10.0)]


def friction(law, f0=0.6, a=0.010):
    a, b, Dc, f0, V0 = (jnp.asarray(n) for n in (a, 0.015, 4e-3, f0, 1e-6))
    return RateStateFriction(a, b, Dc, f0, V0, law)


@pytest.mark.parametrize("z", [-700.0, -300.0, -30.0, -1.0, 0.0, 0.3, 5.0, 60.0, 900.0])
def test_asinh_exp_is_exact_where_the_exponential_is_not_a_number(z):
    with mpmath.workdps(40):
        expected = float(str(mpmath.asinh(mpmath.exp(mpmath.mpf(z)))))
    assert float(asinh_exp(jnp.asarray(z))) == pytest.approx(expected, rel=4e-16)


def test_asinh_exp_has_a_finite_slope_everywhere():
    slope = jax.vmap(jax.grad(asinh_exp))(jnp.asarray([-800.0, 0.0, 800.0]))
    np.testing.assert_allclose(slope, [0.0, np.sqrt(0.5), 1.0], atol=1e-15)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
@pytest.mark.parametrize("f0", [0.6, 0.02])
def test_the_coefficient_is_the_regularised_formula(law, f0):
    for ln_speed, ln_state in STATES:
        with mpmath.workdps(60):
            V, theta = mpmath.exp(ln_speed), mpmath.exp(ln_state)
            if isinstance(law, CutoffLaw):
                state = mpmath.log(1 + mpmath.mpf(1e-7) * theta / mpmath.mpf(4e-3))
            else:
                state = mpmath.log(mpmath.mpf(1e-6) * theta / mpmath.mpf(4e-3))
            inner = mpmath.exp(
                (mpmath.mpf(f0) + mpmath.mpf(0.015) * state) / mpmath.mpf(0.010)
            )
            exact = mpmath.mpf(0.010) * mpmath.asinh(V / (2 * mpmath.mpf(1e-6)) * inner)
        found = friction(law, f0).coefficient(
            jnp.asarray(ln_speed), jnp.asarray(ln_state)
        )
        assert float(found) == pytest.approx(float(exact), rel=1e-13, abs=1e-300)


def test_far_from_zero_speed_it_is_the_classical_logarithm():
    ln_speed, ln_state = jnp.asarray(-14.0), jnp.asarray(16.0)
    classical = (
        0.6
        + 0.010 * (ln_speed - np.log(1e-6))
        + 0.015 * (ln_state + np.log(1e-6 / 4e-3))
    )
    found = friction(AgeingLaw()).coefficient(ln_speed, ln_state)
    assert float(found) == pytest.approx(float(classical), rel=1e-14)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_steady_sliding_keeps_its_state(law):
    surface = friction(law)
    for ln_speed in (-25.0, -14.0, 0.0):
        speed = jnp.asarray(ln_speed)
        rate = surface.state_rate(speed, surface.steady_state(speed))
        scale = np.exp(ln_speed) / 4e-3
        assert abs(float(rate)) < 1e-13 * scale


def test_state_rates_are_the_textbook_ones():
    ln_speed, ln_state = jnp.asarray(-16.0), jnp.asarray(12.0)
    V, theta, Dc = np.exp(-16.0), np.exp(12.0), 4e-3
    ageing = (1 - V * theta / Dc) / theta
    slip = -V / Dc * np.log(V * theta / Dc)
    for law, expected in zip(LAWS, (ageing, slip, ageing)):
        found = friction(law).state_rate(ln_speed, ln_state)
        assert float(found) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_the_sensitivity_is_the_slope_of_the_strength(law):
    unit, reference = jnp.log(jnp.asarray(1e-9)), jnp.log(jnp.asarray(1e-6))
    for y in (-30.0, -5.0, 0.0, 8.0):
        slope = jax.grad(lambda v: law.strength(v, unit, reference))(jnp.asarray(y))
        found = law.sensitivity(jnp.exp(jnp.asarray(-y)), unit)
        assert float(found) == pytest.approx(float(slope), rel=1e-13)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_the_pace_bounds_the_drift(law):
    x, y = np.meshgrid(np.linspace(-20, 20, 41), np.linspace(-20, 20, 41))
    parts = (jnp.exp(x), jnp.exp(-y), jnp.asarray(x + y))
    assert bool(jnp.all(jnp.abs(law.drift(*parts)) <= law.pace(*parts)))
    assert bool(jnp.all(law.pace(*parts) > 0))


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_the_strength_does_not_depend_on_the_unit_of_speed(law):
    reference, ln_state = jnp.log(jnp.asarray(1e-6)), 14.0
    found = []
    for unit in (1e-9, 1.0, 1e3):
        ln_unit = jnp.log(jnp.asarray(unit))
        y = jnp.asarray(ln_state) + ln_unit - jnp.log(jnp.asarray(4e-3))
        found.append(float(law.strength(y, ln_unit, reference)))
    np.testing.assert_allclose(found, found[0], rtol=1e-13)


@pytest.mark.parametrize("speed", [0.0, -1e-7, float("nan"), float("inf")])
def test_an_impossible_cut_off_is_refused(speed):
    with pytest.raises(InputError, match="`Vc` must be positive"):
        CutoffLaw(speed)
