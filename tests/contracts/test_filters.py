"""The laws of `slipstate.assimilate.protocol`, for every filter in the package."""

import functools
import inspect
import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import slipstate.assimilate
from slipstate.assimilate import (
    AbstractFilter,
    AbstractSeriesFilter,
    AbstractSmoother,
    Adaptive,
    BridgeFilter,
    ConstantGainKalman,
    DeterministicEnsembleKalman,
    EnsembleKalmanSmoother,
    EnsembleTransformKalman,
    FiniteSizeEnsembleKalman,
    ForwardBackward,
    FourDVar,
    GaussianSum,
    GeneralisedPseudoBayes,
    InformationKalman,
    InteractingMultipleModel,
    IterativeEnsembleKalmanSmoother,
    Kalman,
    LocalEnsembleTransformKalman,
    Localisation,
    NonlinearEnsembleTransform,
    Observations,
    ParallelKalman,
    ParticleFilter,
    ParticleSmoother,
    RankHistogramFilter,
    RaoBlackwellised,
    SerialEnsembleAdjustment,
    Sigma,
    SquareRootKalman,
    StochasticEnsembleKalman,
    StudentT,
    Taylor,
    Unscented,
    filter_series,
    init,
    smooth_series,
    step,
)
from slipstate.systems import (
    GaussianEmission,
    HiddenMarkov,
    LinearGaussian,
    SwitchingLinearGaussian,
)

KEY = jax.random.key(20_100_405)
ALL = slipstate.assimilate.__all__
TRACES = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: TRACES.append(event) if "trace" in event else None
)

# One entry per setting worth its own run, by name of the class. `model` says what each
# method runs on: a switching one where it needs several modes.
CASES = {
    "DeterministicEnsembleKalman": [DeterministicEnsembleKalman(members=50)],
    "EnsembleKalmanSmoother": [
        EnsembleKalmanSmoother(EnsembleTransformKalman(members=50), lag=2)
    ],
    "FiniteSizeEnsembleKalman": [FiniteSizeEnsembleKalman(members=50)],
    "FourDVar": [FourDVar(0.2 * np.eye(3), lag=2)],
    "GaussianSum": [GaussianSum(components=10)],
    "GeneralisedPseudoBayes": [GeneralisedPseudoBayes()],
    "IterativeEnsembleKalmanSmoother": [
        IterativeEnsembleKalmanSmoother(members=50, lag=2, iterations=3)
    ],
    "LocalEnsembleTransformKalman": [
        LocalEnsembleTransformKalman(
            localisation=Localisation(np.ones((3, 2))), members=11
        )
    ],
    "NonlinearEnsembleTransform": [NonlinearEnsembleTransform(members=50)],
    "ParticleFilter": [
        ParticleFilter(members=100),
        ParticleFilter(members=100, guided=True),
        ParticleFilter(members=100, stages=3, jitter=0.5),
    ],
    "ParticleSmoother": [ParticleSmoother(ParticleFilter(members=100))],
    "RankHistogramFilter": [RankHistogramFilter(members=50)],
    "SerialEnsembleAdjustment": [SerialEnsembleAdjustment(members=50)],
    "StochasticEnsembleKalman": [
        StochasticEnsembleKalman(members=50, inflation=Adaptive())
    ],
    "BridgeFilter": [BridgeFilter(members=50), BridgeFilter(members=2, guided=True)],
    "ConstantGainKalman": [ConstantGainKalman(chunk=4)],
    "Kalman": [Kalman(), Kalman(robust=StudentT(4.0))],
    "EnsembleTransformKalman": [
        EnsembleTransformKalman(members=50, inflation=1.02),
        EnsembleTransformKalman(members=2, rotate=False),
    ],
    "ForwardBackward": [ForwardBackward()],
    "InformationKalman": [InformationKalman()],
    "InteractingMultipleModel": [
        InteractingMultipleModel(),
        InteractingMultipleModel(robust=StudentT(4.0)),
    ],
    "ParallelKalman": [ParallelKalman(block=6)],
    "RaoBlackwellised": [RaoBlackwellised(particles=12)],
    "Sigma": [Sigma(Taylor()), Sigma(Unscented(), iterations=2)],
    "SquareRootKalman": [SquareRootKalman()],
}
METHODS = [method for methods in CASES.values() for method in methods]
# Each method compiles a dozen programs here. One of each kind stands in the suite; the
# others are proofs that take minutes in all.
IN_THE_SUITE = {
    "EnsembleTransformKalman": 1,
    "ForwardBackward": 1,
    "InteractingMultipleModel": 1,
    "Kalman": 1,
}
FAMILY = (
    DeterministicEnsembleKalman,
    EnsembleKalmanSmoother,
    FiniteSizeEnsembleKalman,
    FourDVar,
    GaussianSum,
    IterativeEnsembleKalmanSmoother,
    LocalEnsembleTransformKalman,
    NonlinearEnsembleTransform,
    ParticleFilter,
    ParticleSmoother,
    RankHistogramFilter,
    SerialEnsembleAdjustment,
    StochasticEnsembleKalman,
)
ENSEMBLES = (BridgeFilter, EnsembleTransformKalman)
HEAVY_TAILED = (Kalman, InteractingMultipleModel)


def slow(method):
    name = type(method).__name__
    return CASES[name].index(method) >= IN_THE_SUITE.get(name, 0)


EVERY = [
    pytest.param(
        method,
        id=f"{type(method).__name__}-{place}",
        marks=pytest.mark.slow if slow(method) else (),
    )
    for place, method in enumerate(METHODS)
]
# method by method: the laws of one share its programs, which may go before the next
by_method = pytest.mark.parametrize("method", EVERY, scope="module")


def found():
    named = {name: getattr(slipstate.assimilate, name) for name in ALL}
    return {
        name
        for name, value in named.items()
        if inspect.isclass(value)
        and issubclass(value, AbstractFilter)
        and not name.startswith("Abstract")
    }


def test_every_filter_takes_part():
    assert found() == set(CASES)


def own_road(method):
    """Tell whether a method has a road of its own over many rows."""
    return isinstance(method, AbstractSeriesFilter)


def switches(method):
    kinds = InteractingMultipleModel | GeneralisedPseudoBayes | RaoBlackwellised
    return isinstance(method, kinds)


def hidden(method):
    return isinstance(method, ForwardBackward)


def model(method=None, alike=False, scale=1.0):
    """Return a linear model, one with a second mode, alike or not, or hidden modes."""
    n, p = 3, 2
    rng = np.random.default_rng(0)
    if hidden(method):
        covs = scale * np.array([[[1.0, 0.4], [0.4, 0.8]]] * 3)
        emission = GaussianEmission(rng.normal(size=(3, 2)), covs)
        return HiddenMarkov([0.5, 0.5, 0.0], rng.dirichlet(np.ones(3), 3), emission)
    F = 0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = rng.normal(size=(p, n))
    mean, cov, Q, R = np.ones(n), np.eye(n), 0.2 * np.eye(n), 0.3 * np.eye(p)
    if not switches(method):
        return LinearGaussian(mean, scale * cov, F, scale * Q, H, scale * R)
    other = 1.0 if alike else 0.6
    return SwitchingLinearGaussian(
        mean,
        scale * cov,
        [0.7, 0.3],
        np.stack([F, other * F]),
        scale * np.stack([Q, Q / other]),
        H,
        scale * R,
        [[0.9, 0.1], [0.2, 0.8]],
        np.array([[0.0], [1.0 - other]]) * np.ones(n),
    )


ROWS = 8  # one length for all laws: a program is compiled once for each method
T = np.cumsum(np.random.default_rng(2).uniform(0.5, 2.0, size=ROWS))


def data(seed=1, missing=0.3):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(ROWS, 2))
    y[rng.uniform(size=y.shape) < missing] = np.nan
    return y


@functools.cache
def whole(place):
    """Return model, series and result of one method, for the laws that share them."""
    method = METHODS[place]
    built, series = model(method), Observations(data(), t=T)
    return built, series, filter_series(built, series, method, key=KEY)


def agree(one, other, tolerance=1e-12):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def rows_of(tree, rows):
    return jax.tree.map(lambda x: x[rows], tree)


@by_method
def test_step_by_step_is_the_whole_series(method):
    built, series, result = whole(METHODS.index(method))
    running = init(built, method, key=KEY)
    for k, y in enumerate(data()):
        running, info = step(built, running, y, t=T[k], method=method)
        agree(running.state, rows_of(result.filtered, k))
        agree(info, rows_of(result.info, k))
    agree(running, result.final)
    if not own_road(method) and not isinstance(method, Kalman):
        return  # the driver's own loop, the same for all of them
    before = filter_series(built, series, method, key=KEY, prior_at="before")
    running = init(built, method, t0=2 * T[0] - T[1], key=KEY)
    for k, y in enumerate(data()):
        running, _ = step(built, running, y, t=T[k], method=method)
    agree(running, before.final)


@by_method
def test_split_and_resume_is_the_whole_series(method):
    built, series, result = whole(METHODS.index(method))
    half = ROWS // 2
    # from a run that has begun, so that both halves are one program
    begun = init(built, method, key=KEY)
    first = filter_series(built, series[:half], method, running=begun)
    second = filter_series(built, series[half:], method, running=first.final)
    agree(first.filtered, rows_of(result.filtered, slice(half)))
    agree(second.filtered, rows_of(result.filtered, slice(half, None)))
    agree(second.step_log_likelihoods, result.step_log_likelihoods[half:])
    agree(second.final, result.final)


@by_method
def test_a_row_without_observations_is_the_prediction(method):
    built, _, _ = whole(METHODS.index(method))
    y, blank = data(missing=0.0), (0, 3, 4, ROWS - 1)
    y[list(blank)] = np.nan
    got = filter_series(built, Observations(y, t=T), method, key=KEY)
    for row in blank:
        agree(rows_of(got.filtered, row), rows_of(got.predicted, row), 0.0)
        assert got.step_log_likelihoods[row] == 0.0
        assert (np.asarray(got.innovations[row]) == 0.0).all()


@by_method
def test_equal_gaps_given_as_times_are_the_regular_grid(method):
    built, _, _ = whole(METHODS.index(method))
    plain, timed = (
        filter_series(built, Observations(data(), t=t), method, key=KEY)
        for t in (None, 100.0 + np.arange(ROWS))
    )
    agree(plain.filtered, timed.filtered)


@functools.cache
def slopes_of_many(place):
    """Return series, masks and, from one program, means and slopes of all at once.

    The first three differ in what stands at masked entries only, the last two see
    nothing and everything.
    """
    method = METHODS[place]

    def height(scale, y, mask):
        series = Observations(y, t=T, mask=mask)
        result = filter_series(model(method, scale=scale), series, method, key=KEY)
        return result.log_likelihood, result.means

    slope = jax.value_and_grad(height, argnums=(0, 1), has_aux=True)
    y = data(missing=0.0)
    mask = np.random.default_rng(4).uniform(size=y.shape) < 0.6
    mask[3] = False
    filled = [np.where(mask, y, filler) for filler in (0.0, 7.0, 1e6)]
    masks = jnp.array([mask] * 3 + [np.zeros_like(mask), np.ones_like(mask)])
    values = jnp.array([*filled, y, y])
    together = jax.jit(jax.vmap(slope, in_axes=(None, 0, 0)))
    return values, masks, together(jnp.ones(()), values, masks)


@by_method
def test_masked_entries_matter_to_nothing_and_gradients_are_finite(method):
    _, masks, many = slopes_of_many(METHODS.index(method))
    first, *others = (rows_of(many, row) for row in range(3))
    slopes = np.asarray(first[1][1])
    assert np.isfinite(first[0][0])
    assert (slopes[~np.asarray(masks[0])] == 0.0).all()
    for other in others:
        # lanes of one program may round differently; 1e6 at a masked entry would show
        agree(other, first, 1e-13)
    assert all(np.isfinite(slope).all() for slope in many[1])


@by_method
def test_many_sequences_are_one_after_the_other(method):
    values, masks, ((_, together), _) = slopes_of_many(METHODS.index(method))
    built, _, _ = whole(METHODS.index(method))
    for y, mask, means in zip(values[2:], masks[2:], together[2:]):
        series = Observations(y, t=T, mask=mask)
        alone = filter_series(built, series, method, key=KEY).means
        np.testing.assert_allclose(means, alone, rtol=1e-8, atol=1e-8)


@by_method
def test_a_second_call_traces_nothing(method):
    built, series, _ = whole(METHODS.index(method))
    filter_series(built, series, method, key=KEY)
    before = len(TRACES)
    filter_series(built, series, method, key=KEY)
    assert TRACES[before:] == []


@by_method
def test_a_linear_gaussian_model_gets_the_exact_answer(method):
    if isinstance(method, HEAVY_TAILED) and method.robust is not None:
        pytest.skip("heavy tails are another model")
    if hidden(method):
        pytest.skip("hidden modes are another model")
    if isinstance(method, FAMILY):
        pytest.skip("compared with Kalman's update in the tests of its family")
    built, series, _ = whole(METHODS.index(method))
    exact = filter_series(model(), series, Kalman(), key=KEY)
    if not isinstance(method, ENSEMBLES):
        alike = model(method, alike=True)
        got = filter_series(alike, series, method, key=KEY)
        agree(got.means, exact.means)
        agree(got.log_likelihood, exact.log_likelihood)
        return
    many = [
        filter_series(built, series, method, key=k).means
        for k in jax.random.split(KEY, 40)
    ]
    draws = np.stack(many)
    error = draws.mean(axis=0) - np.asarray(exact.means)
    spread = draws.std(axis=0, ddof=1) / np.sqrt(len(many))
    if method.members < 10:  # a few members cannot span the state: consistent at most
        assert np.isfinite(draws).all()
        return
    # three standard errors, plus the bias of a gain from a finite ensemble
    assert (np.abs(error) < 3 * spread + 2.0 / method.members).mean() > 0.95


@by_method
def test_a_smoother_ends_where_the_filter_does(method):
    if not isinstance(method, AbstractSmoother | AbstractSeriesFilter):
        pytest.skip("filters only")
    built, series, _ = whole(METHODS.index(method))
    got = smooth_series(built, series, method, key=KEY)
    np.testing.assert_array_equal(got.means[-1], got.filter.means[-1])
    if own_road(method) or isinstance(method, Kalman):
        got = smooth_series(built, series[:1], method, key=KEY)
        np.testing.assert_array_equal(got.means, got.filter.means)


SCRIPT = """
    import os
    assert "XLA_FLAGS" not in os.environ and "PJRT_NPROC" not in os.environ
    import jax
    import jax.numpy as jnp
    from slipstate.assimilate import *
    from slipstate.systems import *

    n, p = 12, {obs}
    H, R = jnp.ones((p, n)) + jnp.eye(p, n), jnp.eye(p) + 0.1
    mean, cov, F, Q = jnp.zeros(n), jnp.eye(n), 0.9 * jnp.eye(n), jnp.eye(n)
    plain = LinearGaussian(mean, cov, F, Q, H, R)
    half, twice = jnp.full(2, 0.5), lambda x: jnp.stack([x, 0.5 * x])
    switching = SwitchingLinearGaussian(
        mean, cov, half, twice(F), twice(Q), H, R, jnp.full((2, 2), 0.5)
    )
    method = {method}
    emission = GaussianEmission(H[:, :2].T, twice(R))
    hidden = HiddenMarkov(half, jnp.full((2, 2), 0.5), emission)
    model = switching if isinstance(method, InteractingMultipleModel) else plain
    model = hidden if isinstance(method, ForwardBackward) else model
    y = jax.random.normal(jax.random.key(0), (40, 20, p))
    keys = jax.random.split(jax.random.key(1), 40)
    run = jax.jit(jax.vmap(
        lambda y, key: filter_series(model, Observations(y), method, key=key).means
    ))
    for _ in range(5):
        assert bool(jnp.isfinite(run(y, keys)).all())
    print("finished")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "obs"),
    [
        ("Kalman()", 10),
        ("Kalman(robust=StudentT(4.0))", 10),
        ("InteractingMultipleModel()", 10),
        ("ForwardBackward()", 10),
        ("BridgeFilter(members=50)", 10),
        ("FiniteSizeEnsembleKalman(members=20)", 10),
        ("NonlinearEnsembleTransform(members=20)", 10),
        ("EnsembleTransformKalman(members=50)", 10),
        ("EnsembleTransformKalman(members=50)", 60),
    ],
)
def test_forty_sequences_at_once_do_not_hang_in_a_plain_script(method, obs):
    """No flag of the test suite protects this one, as none protects a user's script."""
    bare = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XLA_FLAGS", "PJRT_NPROC") and not name.startswith("JAX_")
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT.format(method=method, obs=obs))],
        env=bare,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "finished\n", done.stderr[-2000:]
