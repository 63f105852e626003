"""One battery for every clock: lags compose, fractions are times, no NaN gradients."""

import inspect
from functools import cache

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
# three times each: the whole must be the sum of its two halves
TIMES = np.array([[1.0, 2.0, 3.5], [0.25, 0.5, 7.75], [4.2, 4.3, 4.9]])
FRACTIONS = np.array([0.05, 0.5, 0.95])
QUICK: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}
every_clock = pytest.mark.parametrize(
    "clock", range(len(CLOCKS)), ids=lambda k: type(CLOCKS[k]).__name__
)


def size(lag):
    return lag.amount if isinstance(lag, Shift) else -lag.log_ratio


@cache
def portrait(index):
    """Everything the laws speak of, from one compiled program for each clock."""
    arrays, rest = eqx.partition(CLOCKS[index], eqx.is_array)

    def draw(arrays, t, s):
        clock = eqx.combine(arrays, rest)
        origin = clock.origin()
        start = jnp.maximum(origin, 0.0)
        between = lambda t0, t1: size(clock.lag(t0, t1))
        four, five = jnp.asarray(4.0), jnp.asarray(5.0)

        def kept(clock):
            lags = clock.lag(jnp.stack([start, start + 1.0]), start + 2.0)
            return jnp.sum(lags.kept)

        return {
            "halves": between(t[:, 0], t[:, 1]) + between(t[:, 1], t[:, 2]),
            "whole": between(t[:, 0], t[:, 2]),
            "none": between(t[:, 1], t[:, 1]),
            "fractions": clock.fraction(clock.lag(four + s, five), four, five),
            "origin": origin,
            "first": between(origin, origin + 1.0),
            "units": jnp.stack([between(start, start + 1), between(five, five + 1)]),
            "slopes": jax.tree.leaves(eqx.filter_grad(kept)(clock)),
        }

    args = (arrays, jnp.asarray(TIMES), jnp.asarray(FRACTIONS))
    program = jax.jit(draw).lower(*args).compile(QUICK)
    return jax.tree.map(np.asarray, program(*args))


def test_every_clock_of_the_library_is_in_the_battery():
    leaves = {
        cls
        for cls in vars(memory).values()
        if inspect.isclass(cls)
        and issubclass(cls, memory.AbstractClock)
        and not cls.__name__.startswith("Abstract")
    }
    assert leaves == {type(clock) for clock in CLOCKS}


@every_clock
def test_lags_compose(clock):
    found = portrait(clock)
    assert np.allclose(found["halves"], found["whole"], rtol=1e-12, atol=1e-14)
    assert np.all(found["none"] == 0.0)


@every_clock
def test_fraction_inverts_the_lag(clock):
    assert np.allclose(portrait(clock)["fractions"], FRACTIONS, atol=1e-10)


@every_clock
def test_the_origin_is_forgotten_or_infinitely_old(clock):
    found = portrait(clock)
    if np.isfinite(found["origin"]):
        assert found["first"] == np.inf
    else:
        assert CLOCKS[clock].invariant
        assert np.isclose(*found["units"], rtol=1e-12)


@every_clock
def test_gradients_are_finite_even_at_the_origin(clock):
    for leaf in portrait(clock)["slopes"]:
        assert np.all(np.isfinite(leaf))


def test_tiny_steps_keep_their_relative_accuracy():
    t = 1e6
    for clock in (ScaleClock(), PowerClock(1.0)):
        share = clock.lag(jnp.asarray(t), jnp.asarray(t + 1.0)).new
        assert np.isclose(share, 1.0 / (t + 1.0), rtol=1e-15)


def test_equal_gains_are_the_scale_clock_and_ratios_are_taken_as_given():
    gated, ratios = GatedClock(jnp.ones(6)), np.array([0.3, 1.0, 0.0, 0.9])
    moves = eqx.filter_jit(lambda clock, k: size(clock.lag(k, k + 1)))
    k = jnp.arange(1.0, 6.0)
    assert np.allclose(moves(gated, k), moves(ScaleClock(), k))
    found = np.exp(-moves(GatedClock(ratios=ratios), jnp.arange(4.0)))
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
