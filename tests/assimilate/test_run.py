"""The drivers: what they keep, resume, refuse, and how models may vary with time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import (
    EnsembleTransformKalman,
    InteractingMultipleModel,
    Kalman,
    Observations,
    filter_series,
    filter_stretches,
    init,
    smooth_series,
    step,
)
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.solution import Outcome
from slipstate.systems import (
    AbstractLinearObservation,
    AbstractLinearTransition,
    Gaussian,
    LinearGaussian,
    LinearTransition,
    StateSpaceModel,
    VaryingLinearGaussian,
)

ROWS, STATE, OBS = 12, 3, 2
RNG = np.random.default_rng(3)
MEAN, COV = np.ones(STATE), 2.0 * np.eye(STATE)
F = 0.9 * np.linalg.qr(RNG.normal(size=(STATE, STATE)))[0]
Q = np.diag([0.2, 0.1, 0.4])
H = RNG.normal(size=(OBS, STATE))
R = np.array([[0.5, 0.2], [0.2, 0.3]])
Y = RNG.normal(size=(ROWS, OBS))
Y[RNG.uniform(size=Y.shape) < 0.3] = np.nan
Y[4] = np.nan
MODEL = LinearGaussian(MEAN, COV, F, Q, H, R)
SERIES = Observations(Y)


@pytest.fixture(scope="module")
def smoothed():
    return smooth_series(MODEL, SERIES, lag_one=True)


def joint(parts, y):
    """Mean and covariance of all states given all observations, by one big matrix."""
    F, Q, H, R, b, d = parts
    rows, n, p = len(y), len(MEAN), y.shape[1]
    mean, cov = np.zeros(rows * n), np.zeros((rows * n, rows * n))
    for k in range(rows):
        here = slice(k * n, (k + 1) * n)
        if k == 0:
            mean[here], cov[here, here] = MEAN, COV
            continue
        back = slice((k - 1) * n, k * n)
        mean[here] = F[k] @ mean[back] + b[k]
        cov[here, : k * n] = F[k] @ cov[back, : k * n]
        cov[: k * n, here] = cov[here, : k * n].T
        cov[here, here] = F[k] @ cov[back, back] @ F[k].T + Q[k]
    big = np.zeros((rows * p, rows * n))
    noise = np.zeros((rows * p, rows * p))
    for k in range(rows):
        big[k * p : (k + 1) * p, k * n : (k + 1) * n] = H[k]
        noise[k * p : (k + 1) * p, k * p : (k + 1) * p] = R[k]
    seen = ~np.isnan(y).ravel()
    big, noise = big[seen], noise[np.ix_(seen, seen)]
    residual = y.ravel()[seen] - big @ mean - d.ravel()[seen]
    S = big @ cov @ big.T + noise
    gain = np.linalg.solve(S, big @ cov).T
    log_det = np.linalg.slogdet(2 * np.pi * S)[1]
    value = -0.5 * (residual @ np.linalg.solve(S, residual) + log_det)
    return mean + gain @ residual, cov - gain @ S @ gain.T, value


def stacked(matrix):
    return np.broadcast_to(matrix, (ROWS, *np.shape(matrix)))


def blocks(cov, offset):
    n = STATE
    return np.stack(
        [
            cov[(k + offset) * n : (k + offset + 1) * n, k * n : (k + 1) * n]
            for k in range(ROWS - offset)
        ]
    )


def test_everything_agrees_with_one_big_gaussian(smoothed):
    parts = (F, Q, H, R, np.zeros(STATE), np.zeros(OBS))
    mean, cov, value = joint([stacked(part) for part in parts], Y)
    np.testing.assert_allclose(smoothed.means.ravel(), mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(smoothed.covs, blocks(cov, 0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        smoothed.lag_one_covs, blocks(cov, 1), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(smoothed.log_likelihood, value, rtol=1e-12)


def test_matrices_that_change_agree_with_one_big_gaussian():
    rng = np.random.default_rng(7)
    many = {
        "F": F * rng.uniform(0.5, 1.0, size=(ROWS, 1, 1)),
        "Q": Q * rng.uniform(0.5, 2.0, size=(ROWS, 1, 1)),
        "H": rng.normal(size=(ROWS, OBS, STATE)),
        "R": R * rng.uniform(0.5, 2.0, size=(ROWS, 1, 1)),
        "b": rng.normal(size=(ROWS, STATE)),
        "d": rng.normal(size=(ROWS, OBS)),
    }
    model = VaryingLinearGaussian(
        MEAN,
        COV,
        many["F"],
        many["Q"],
        many["H"],
        many["R"],
        b=many["b"],
        d=many["d"],
    )
    got = smooth_series(model, SERIES, lag_one=True)
    mean, cov, value = joint(list(many.values()), Y)
    np.testing.assert_allclose(got.means.ravel(), mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.covs, blocks(cov, 0), rtol=1e-9, atol=1e-12)
    assert got.lag_one_covs is not None
    np.testing.assert_allclose(got.lag_one_covs, blocks(cov, 1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.log_likelihood, value, rtol=1e-12)
    # the row counts from the start of the run, in a resumed run and in single steps too
    first = filter_series(model, SERIES[:5])
    second = filter_series(model, SERIES[5:], running=first.final)
    np.testing.assert_allclose(second.means, got.filter.means[5:], rtol=1e-12)
    running, _ = step(model, first.final, SERIES.y[5], t=5.0, mask=SERIES.mask[5])
    np.testing.assert_allclose(running.state.location, got.filter.means[5], rtol=1e-12)
    with pytest.raises(InputError, match="12 rows"):
        filter_series(model, SERIES, running=first.final)


def test_matrices_that_do_not_change_are_the_plain_model():
    model = VaryingLinearGaussian(MEAN, COV, stacked(F), Q, H, R)
    one = filter_series(model, SERIES, prior_at="before")
    other = filter_series(MODEL, SERIES, prior_at="before")
    np.testing.assert_allclose(one.means, other.means, rtol=1e-12)
    with pytest.raises(InputError, match="LinearGaussian"):
        VaryingLinearGaussian(MEAN, COV, F, Q, H, R)
    broken = np.array(stacked(Q))
    broken[3] = -broken[3]
    with pytest.raises(InputError, match=r"Q\[3\]"):
        VaryingLinearGaussian(MEAN, COV, F, broken, H, R)
    with pytest.raises(InputError, match="same number of rows"):
        VaryingLinearGaussian(MEAN, COV, stacked(F), stacked(Q)[1:], H, R)


def test_less_is_kept_on_request(smoothed):
    whole = smoothed.filter
    lean = filter_series(MODEL, SERIES, cov="none")
    some = smooth_series(MODEL, SERIES, cov="diagonal")
    agree = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    for got in (lean, some.filter):
        agree(got.means, whole.means)
        agree(got.predicted_means, whole.predicted_means)
        agree(got.innovations, whole.innovations)
        agree(got.step_log_likelihoods, whole.step_log_likelihoods)
        agree(got.final.state.covariance, whole.final.state.covariance)
        assert got.outcome == Outcome.successful
    agree(some.means, smoothed.means)
    diagonal = lambda x: np.diagonal(x, axis1=1, axis2=2)
    agree(some.variances, diagonal(smoothed.covs))
    agree(some.variances, smoothed.variances)
    agree(some.filter.innovation_variances, diagonal(whole.innovation_covs))
    agree(whole.innovation_variances, diagonal(whole.innovation_covs))
    for name in ("covs", "variances", "innovation_covs", "innovation_variances"):
        with pytest.raises(MethodError, match="was not kept"):
            getattr(lean, name)
    with pytest.raises(MethodError, match="was not kept"):
        _ = some.covs
    with pytest.raises(InputError, match='"none"; got "half"'):
        filter_series(MODEL, SERIES, cov="half")


def test_stretches_add_up_to_the_series(smoothed):
    parts = list(filter_stretches(MODEL, (SERIES[k : k + 4] for k in (0, 4, 8))))
    together = np.concatenate([part.means for part in parts])
    np.testing.assert_allclose(together, smoothed.filter.means, rtol=1e-12)
    np.testing.assert_allclose(
        sum(part.log_likelihood for part in parts), smoothed.log_likelihood, rtol=1e-12
    )


class Driven(AbstractLinearTransition):
    """A transition that an input pushes, for as long as the step takes."""

    inner: LinearTransition
    B: jax.Array

    def matrix(self, dt):
        return self.inner.F

    def offset(self, u, dt):
        return self.B @ jnp.asarray(u) * dt

    def noise_cov(self, dt):
        return self.inner.Q

    def mean(self, x, u, dt):
        return self.inner.F @ x + self.offset(u, dt)

    def noise_factor(self, x, u, dt):
        return self.inner.noise_factor(x, u, dt)


class Seen(AbstractLinearObservation):
    """An observation that the input shifts."""

    D: jax.Array
    units: tuple[str, ...] = eqx.field(static=True)

    def matrix(self):
        return jnp.asarray(H)

    def offset(self, u):
        return self.D @ jnp.asarray(u)

    def noise_cov(self):
        return jnp.asarray(R)

    def predict(self, x, u):
        return jnp.asarray(H) @ x + self.offset(u)

    def noise_factor(self):
        return jnp.linalg.cholesky(jnp.asarray(R))


def test_inputs_act_on_the_step_that_ends_there_and_on_what_is_seen():
    rng = np.random.default_rng(5)
    B, D = rng.normal(size=(STATE, 1)), rng.normal(size=(OBS, 1))
    u = rng.normal(size=(ROWS, 1))
    t = np.cumsum(rng.uniform(0.5, 2.0, size=ROWS))
    driven = Driven(LinearTransition(F, Q), jnp.asarray(B))
    model = StateSpaceModel(
        Gaussian(jnp.asarray(MEAN), jnp.asarray(COV)),
        driven,
        Seen(D=jnp.asarray(D), units=("1", "1")),
    )
    b = np.concatenate([np.zeros((1, STATE)), (u[1:] * np.diff(t)[:, None]) @ B.T])
    twin = VaryingLinearGaussian(MEAN, COV, F, Q, H, R, b=b, d=u @ D.T)
    got = smooth_series(model, Observations(Y, t, u=u))
    want = smooth_series(twin, Observations(Y, t))
    np.testing.assert_allclose(got.means, want.means, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-12)


def test_a_batch_is_one_after_the_other(smoothed):
    shifted = np.stack([np.nan_to_num(Y), np.nan_to_num(Y) + 1.0])
    mask = jnp.asarray(~np.isnan(Y))

    @jax.jit
    @jax.vmap
    def run(y):
        result = smooth_series(MODEL, Observations(y, mask=mask))
        return result.means, result.covs, result.log_likelihood

    means, covs, values = run(jnp.asarray(shifted))
    np.testing.assert_allclose(means[0], smoothed.means, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(covs[0], smoothed.covs, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(values[0], smoothed.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(covs[1], covs[0], rtol=1e-12)


def test_wrong_use_is_refused_with_advice():
    with pytest.raises(MethodError, match=r"only filters it\. Use Kalman"):
        smooth_series(MODEL, SERIES, EnsembleTransformKalman(members=5))
    with pytest.raises(MethodError, match="follows none"):
        _ = filter_series(MODEL, SERIES).probs
    with pytest.raises(MethodError, match="switches between linear modes"):
        filter_series(MODEL, SERIES, InteractingMultipleModel())
    with pytest.raises(InputError, match="at least one row"):
        Observations(np.zeros((0, OBS)))
    with pytest.raises(InputError, match="must have 2 components"):
        filter_series(MODEL, Observations(np.zeros((3, 3))))
    with pytest.raises(InputError, match="row 2 is at 1 after 2"):
        Observations(np.zeros((3, OBS)), t=[0.0, 2.0, 1.0])
    with pytest.raises(InputError, match="NaN at row 1, component 0"):
        Observations([[0.0], [np.nan]], mask=np.ones((2, 1), bool))
    with pytest.raises(InputError, match=r"not at index \(1, 0\)"):
        Observations([[0.0], [np.inf]])
    with pytest.raises(InputError, match='must be "first" or "before"'):
        filter_series(MODEL, SERIES, prior_at="after")


def test_time_does_not_run_backwards_in_a_resumed_run(smoothed):
    final = smoothed.filter.final
    with pytest.raises(InputError, match=r"not be before 11, .* after 12 rows; got 3"):
        step(MODEL, final, np.zeros(OBS), t=3.0)
    with pytest.raises(InputError, match="not be before 11"):
        filter_series(MODEL, SERIES, running=final)
    with pytest.raises(InputError, match="must have 2 components"):
        step(MODEL, init(MODEL), np.zeros(3), t=0.0)


def test_an_observation_without_any_variance_is_named_by_its_row():
    """Noise-free, of a state known exactly: nothing is repaired in silence."""
    model = LinearGaussian([0.0], [[1.0]], [[1.0]], [[0.0]], [[1.0]], [[0.0]])
    result = filter_series(model, Observations([[1.0], [np.nan], [1.0], [1.0]]))
    assert int(result.first_failure) == 2
    assert result.outcome == Outcome.singular_innovation
    assert int(filter_series(model, Observations([[1.0]])).first_failure) == -1


def test_gradients_pass_where_less_is_kept():
    def height(scale):
        model = LinearGaussian(MEAN, COV, scale * F, Q, H, R)
        result = filter_series(model, SERIES, Kalman(), cov="none")
        return result.means.sum() + result.log_likelihood

    ahead, behind = (height(1.0 + d) for d in (1e-5, -1e-5))
    slope = jax.grad(height)(1.0)
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6)
