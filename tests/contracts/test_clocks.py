"""One battery for every clock: lags compose, fractions are times, no NaN gradients."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import slipstate.memory as memory
from slipstate.ground.errors import InputError
from slipstate.memory import (
    ExponentialClock,
    GatedClock,
    LogClock,
    MonotoneClock,
    PowerClock,
    RateWarp,
    ScaleClock,
    Shift,
    WindowClock,
)

CLOCKS = [
    ScaleClock(),
    ScaleClock(-2.0),
    ExponentialClock(3.0),
    PowerClock(2.5),
    PowerClock(0.5),
    LogClock(0.7),
    WindowClock(12.0),
    GatedClock([1.0, 0.0, 2.0, 1e4, 0.3, 1.0, 1.0, 2.0]),
    GatedClock([1.0, 0.5, 2.0, 1.0, 0.3, 1.0, 1.0, 2.0], keep=[1.0] * 3 + [0.5] * 5),
    MonotoneClock(jnp.sinh),
    MonotoneClock(RateWarp([0.0, 3.0, 8.0], [0.0, 1.0, -1.0])),
]
name = lambda clock: type(clock).__name__


def move(clock, t0, t1):
    lag = clock.lag(jnp.asarray(float(t0)), jnp.asarray(float(t1)))
    return float(lag.amount if isinstance(lag, Shift) else -lag.log_ratio)


def test_every_clock_of_the_library_is_in_the_battery():
    leaves = {
        cls
        for cls in vars(memory).values()
        if inspect.isclass(cls)
        and issubclass(cls, memory.AbstractClock)
        and not cls.__name__.startswith("Abstract")
    }
    assert leaves == {type(clock) for clock in CLOCKS}


@pytest.mark.parametrize("clock", CLOCKS, ids=name)
def test_lags_compose(clock):
    for t0, t1, t2 in [(1.0, 2.0, 3.5), (0.25, 0.5, 7.75), (4.2, 4.3, 4.9)]:
        whole = move(clock, t0, t2)
        assert np.isclose(
            move(clock, t0, t1) + move(clock, t1, t2), whole, rtol=1e-12, atol=1e-14
        )
        assert move(clock, t1, t1) == 0.0


@pytest.mark.parametrize("clock", CLOCKS, ids=name)
def test_fraction_inverts_the_lag(clock):
    t0, t1 = jnp.asarray(4.0), jnp.asarray(5.0)
    s = jnp.asarray([0.05, 0.5, 0.95])
    found = clock.fraction(clock.lag(t0 + s * (t1 - t0), t1), t0, t1)
    assert np.allclose(found, s, atol=1e-10)


@pytest.mark.parametrize("clock", CLOCKS, ids=name)
def test_the_origin_is_forgotten_or_infinitely_old(clock):
    origin = clock.origin()
    if np.isfinite(origin):
        assert move(clock, origin, origin + 1.0) == np.inf
    else:
        assert clock.invariant
        assert np.isclose(move(clock, 0.0, 1.0), move(clock, 5.0, 6.0), rtol=1e-12)


@pytest.mark.parametrize("clock", CLOCKS, ids=name)
def test_gradients_are_finite_even_at_the_origin(clock):
    start = jnp.maximum(clock.origin(), 0.0)

    def sizes(clock):
        kept = clock.lag(jnp.stack([start, start + 1.0]), start + 2.0).kept
        return jnp.sum(kept)

    for leaf in jax.tree.leaves(eqx.filter_grad(sizes)(clock)):
        assert np.all(np.isfinite(leaf))


def test_tiny_steps_keep_their_relative_accuracy():
    t = 1e6
    for clock in (ScaleClock(), PowerClock(1.0)):
        share = clock.lag(jnp.asarray(t), jnp.asarray(t + 1.0)).new
        assert np.isclose(share, 1.0 / (t + 1.0), rtol=1e-15)


def test_equal_gains_are_the_scale_clock_and_ratios_are_taken_as_given():
    gated, ratios = GatedClock(jnp.ones(6)), np.array([0.3, 1.0, 0.0, 0.9])
    for k in range(1, 6):
        assert np.isclose(move(gated, k, k + 1), move(ScaleClock(), k, k + 1))
    given = GatedClock(ratios=ratios)
    found = [np.exp(-move(given, k, k + 1)) for k in range(4)]
    assert np.allclose(found, ratios, atol=1e-15)


def test_a_learned_warp_is_the_integral_of_its_rate():
    warp = RateWarp([0.0, 1.0, 4.0], [0.3, -2.0, 1.0])
    t = jnp.asarray([0.2, 1.0, 2.7, 6.0])
    assert np.allclose(jax.vmap(jax.grad(warp))(t), warp.rate(t), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: ExponentialClock(-1.0), "tau"),
        (lambda: PowerClock(0.0), "power"),
        (lambda: LogClock(-3.0), "knee"),
        (lambda: WindowClock(0.0), "theta"),
        (lambda: WindowClock([1.0, 2.0]), "theta"),
        (lambda: GatedClock(), "gain"),
        (lambda: GatedClock([1.0, -1.0]), "gain"),
        (lambda: GatedClock([1.0, 1.0], keep=[2.0, 1.0]), "keep"),
        (lambda: GatedClock(ratios=[0.5, 1.5]), "ratios"),
        (lambda: GatedClock([1.0, 1.0], edges=[0.0, 1.0]), "edges"),
        (lambda: RateWarp([1.0, 0.0]), "knots"),
        (lambda: RateWarp([0.0, 1.0], [1.0]), "raw"),
    ],
)
def test_bad_settings_name_the_argument(make, argument):
    with pytest.raises(InputError, match=argument):
        make()
