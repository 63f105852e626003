"""The laws of `slipstate.assimilate.protocol`, for every filter in the package."""

import inspect
import os
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import slipstate.assimilate
from slipstate.assimilate import (
    AbstractFilter,
    AbstractSmoother,
    BridgeFilter,
    ConstantGainKalman,
    EnsembleTransformKalman,
    ForwardBackward,
    InformationKalman,
    InteractingMultipleModel,
    Kalman,
    Observations,
    ParallelKalman,
    RaoBlackwellised,
    Sigma,
    SquareRootKalman,
    StudentT,
    Taylor,
    Unscented,
    filter_series,
    init,
    smooth_series,
    step,
)
from slipstate.systems import (
    AbstractLinearTransition,
    GaussianEmission,
    HiddenMarkov,
    LinearGaussian,
    SwitchingLinearGaussian,
)

# One entry per setting worth its own run, by name of the class. `model` says what each
# method runs on: a switching one where it needs several modes.
CASES = {
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
ENSEMBLES = (BridgeFilter, EnsembleTransformKalman)
HEAVY_TAILED = (Kalman, InteractingMultipleModel)


def _name(method):
    return f"{type(method).__name__}-{METHODS.index(method)}"


def found():
    return {
        name
        for name, value in vars(slipstate.assimilate).items()
        if inspect.isclass(value)
        and issubclass(value, AbstractFilter)
        and not name.startswith("Abstract")
    }


def test_every_filter_takes_part():
    assert found() == set(CASES)


def switches(method):
    return isinstance(method, InteractingMultipleModel | RaoBlackwellised)


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


def data(rows=20, p=2, seed=1, missing=0.3):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(rows, p))
    y[rng.uniform(size=y.shape) < missing] = np.nan
    return y


def agree(one, other, tolerance=1e-12):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("method", METHODS, ids=_name)
@pytest.mark.parametrize("prior_at", ["first", "before"])
def test_step_by_step_is_the_whole_series(method, prior_at, key):
    y, t = data(), np.cumsum(np.random.default_rng(2).uniform(0.5, 2, size=20))
    whole = filter_series(
        model(method), Observations(y, t=t), method, key=key, prior_at=prior_at
    )
    t0 = 2 * t[0] - t[1] if prior_at == "before" else None
    running = init(model(method), method, t0=t0, key=key)
    for k in range(len(y)):
        running, info = step(
            model(method), running, jnp.array(y[k]), t=t[k], method=method
        )
        agree(running.state, jax.tree.map(lambda x, k=k: x[k], whole.filtered))
        agree(info, jax.tree.map(lambda x, k=k: x[k], whole.info))
    agree(running, whole.final)


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_split_and_resume_is_the_whole_series(method, key):
    data_all = Observations(data())
    whole = filter_series(model(method), data_all, method, key=key)
    first = filter_series(model(method), data_all[:7], method, key=key)
    second = filter_series(model(method), data_all[7:], method, running=first.final)
    agree(first.filtered, jax.tree.map(lambda x: x[:7], whole.filtered))
    agree(second.filtered, jax.tree.map(lambda x: x[7:], whole.filtered))
    agree(second.step_log_likelihoods, whole.step_log_likelihoods[7:])
    agree(second.final, whole.final)


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_a_row_without_observations_is_the_prediction(method, key):
    y = data(missing=0.0)
    y[[0, 5, 6, 19]] = np.nan
    got = filter_series(model(method), Observations(y), method, key=key)
    for row in (0, 5, 6, 19):
        before = jax.tree.map(lambda x, row=row: x[row], got.predicted)
        after = jax.tree.map(lambda x, row=row: x[row], got.filtered)
        agree(after, before, 0.0)
        assert got.step_log_likelihoods[row] == 0.0
        assert (np.asarray(got.innovations[row]) == 0.0).all()


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_masked_entries_matter_to_no_result_and_no_gradient(method, key):
    y = data(missing=0.0)
    mask = np.random.default_rng(4).uniform(size=y.shape) < 0.6
    mask[3] = False

    def height(y):
        result = filter_series(
            model(method), Observations(y, mask=mask), method, key=key
        )
        return result.log_likelihood, result.means

    values = [jnp.array(np.where(mask, y, filler)) for filler in (0.0, 7.0, 1e6)]
    slope, means = jax.grad(height, has_aux=True)(values[0])
    assert np.isfinite(slope).all()
    assert (np.asarray(slope)[~mask] == 0.0).all()
    for other in values[1:]:
        other_slope, other_means = jax.grad(height, has_aux=True)(other)
        np.testing.assert_array_equal(other_slope, slope)
        np.testing.assert_array_equal(other_means, means)


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_gradients_of_the_parameters_are_finite_with_any_mask(method, key):
    def height(scale, mask):
        y = Observations(jnp.array(data(8, missing=0.0)), mask=mask)
        scaled = model(method, scale=scale)
        return filter_series(scaled, y, method, key=key).log_likelihood

    slope = jax.jit(jax.grad(height))
    for mask in (
        np.zeros((8, 2), bool),
        np.ones((8, 2), bool),
        np.random.default_rng(5).uniform(size=(8, 2)) < 0.5,
    ):
        assert np.isfinite(slope(jnp.ones(()), jnp.array(mask)))


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_equal_gaps_given_as_times_are_the_regular_grid(method, key):
    y = data()
    times = 100.0 + np.arange(len(y))
    plain = filter_series(model(method), Observations(y), method, key=key)
    timed = filter_series(model(method), Observations(y, t=times), method, key=key)
    agree(plain.filtered, timed.filtered)


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_many_sequences_are_one_after_the_other(method, key):
    series = jnp.stack([jnp.array(data(seed=s, missing=0.0)) for s in range(4)])
    keys = jax.random.split(key, 4)

    def run(y, key):
        return filter_series(model(method), Observations(y), method, key=key).means

    together = jax.vmap(run)(series, keys)
    alone = jnp.stack([run(y, k) for y, k in zip(series, keys)])
    np.testing.assert_allclose(together, alone, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_a_second_call_traces_nothing(method, key):
    if hidden(method):
        pytest.skip("no linear transition to count; test_mode_passes counts chains")
    traces = 0

    class Counting(AbstractLinearTransition):
        def matrix(self, dt):
            nonlocal traces
            traces += 1
            return 0.9 * jnp.eye(3)

        def offset(self, u, dt):
            return jnp.zeros(3)

        def noise_cov(self, dt):
            return 0.2 * jnp.eye(3)

        def mean(self, x, u, dt):
            return self.matrix(dt) @ x

        def noise_factor(self, x, u, dt):
            return jnp.sqrt(0.2) * jnp.eye(3)

    one = lambda m: m.transitions[1] if switches(method) else m.transition
    counted = eqx.tree_at(one, model(method), Counting())
    filter_series(counted, Observations(data(seed=1)), method, key=key)
    first = traces
    assert first > 0
    filter_series(counted, Observations(data(seed=2)), method, key=key)
    assert traces == first


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_a_linear_gaussian_model_gets_the_exact_answer(method, key):
    if isinstance(method, HEAVY_TAILED) and method.robust is not None:
        pytest.skip("heavy tails are another model")
    if hidden(method):
        pytest.skip("hidden modes are another model")
    y = Observations(data(rows=12))
    exact = filter_series(model(), y, Kalman())
    if not isinstance(method, ENSEMBLES):
        got = filter_series(model(method, alike=True), y, method, key=key)
        agree(got.means, exact.means)
        agree(got.log_likelihood, exact.log_likelihood)
        return
    many = [
        filter_series(model(method), y, method, key=k)
        for k in jax.random.split(key, 40)
    ]
    draws = np.stack([result.means for result in many])
    error = draws.mean(axis=0) - np.asarray(exact.means)
    spread = draws.std(axis=0, ddof=1) / np.sqrt(len(many))
    if method.members < 10:  # a few members cannot span the state: consistent at most
        assert np.isfinite(draws).all()
        return
    # three standard errors, plus the bias of a gain from a finite ensemble
    assert (np.abs(error) < 3 * spread + 2.0 / method.members).mean() > 0.95


@pytest.mark.parametrize("method", METHODS, ids=_name)
def test_a_smoother_ends_where_the_filter_does(method, key):
    if not isinstance(method, AbstractSmoother | ForwardBackward):
        pytest.skip("filters only")
    got = smooth_series(model(method), Observations(data()), method, key=key)
    np.testing.assert_array_equal(got.means[-1], got.filter.means[-1])
    single = smooth_series(model(method), Observations(data()[:1]), method, key=key)
    np.testing.assert_array_equal(single.means, single.filter.means)


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
