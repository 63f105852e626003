"""Every form of the exact filter on stiff data, against 50 digits."""

import json
from pathlib import Path

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from slipstate.assimilate import (
    ConstantGainKalman,
    InformationKalman,
    Kalman,
    Observations,
    ParallelKalman,
    SquareRootKalman,
    filter_series,
    smooth_series,
)
from slipstate.systems import LinearGaussian

FORMS = [
    Kalman(),
    SquareRootKalman(),
    InformationKalman(),
    ConstantGainKalman(),
    ParallelKalman(),
]
_TABLE = Path(__file__).parents[1] / "reference" / "stiff_likelihoods.json"


def _case(case):
    return f"order{case['order']}-noise{case['noise']}-missing{case['missing']}"


CASES = {
    _case(case): case
    for case in json.loads(_TABLE.read_text(encoding="utf-8"))["cases"]
}
STIFF = CASES["order2-noise1e-10-missing0.0"]
GAPPY = CASES["order2-noise1e-10-missing0.3"]
MILD = CASES["order2-noise1e-06-missing0.0"]


def _form(method):
    return type(method).__name__


def series(case, rows=None):
    """A signal whose derivative of some order is a Wiener process, seen in noise."""
    n, d, noise = case["order"] + 1, case["d"], case["noise"]
    rows = case["rows"] if rows is None else rows
    factorial = [1.0] * (2 * n)
    for i in range(1, 2 * n):
        factorial[i] = factorial[i - 1] * i
    F, Q = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if j >= i:
                F[i, j] = d ** (j - i) / factorial[j - i]
            power = 2 * n - 1 - i - j
            scale = factorial[n - 1 - i] * factorial[n - 1 - j]
            Q[i, j] = d**power / (power * scale)
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky(Q)
    x, y = rng.normal(size=n), np.zeros((rows, 1))
    for k in range(rows):
        x = F @ x + root @ rng.normal(size=n) if k else x
        y[k, 0] = x[0] + np.sqrt(noise) * rng.normal()
    if case["missing"]:
        lost = np.random.default_rng(1).uniform(size=y.shape) < case["missing"]
        y[lost] = np.nan
    H, R = np.eye(1, n), np.array([[noise]])
    return (np.zeros(n), np.eye(n), F, Q, H, R), y


def fifty_digits(m0, P0, F, Q, R, y, rounding=None):
    """The textbook loop in 50 digits; the first state is seen.

    With a generator of random numbers as `rounding`, every entry of the mean moves by
    up to half a unit of float64 in its last place before each row.
    """
    with mpmath.workdps(50):
        n = len(m0)
        F, Q, P = (mpmath.matrix(x.tolist()) for x in (F, Q, P0))
        r, m, total = mpmath.mpf(float(R[0, 0])), mpmath.matrix(m0.tolist()), 0
        for k, value in enumerate(y[:, 0]):
            if k:
                m, P = F * m, F * P * F.T + Q
            if rounding is not None:
                for i in range(n):
                    unit = np.spacing(abs(float(m[i])))
                    m[i] += mpmath.mpf(rounding.uniform(-0.5, 0.5) * unit)
            if np.isnan(value):
                continue
            S, v = P[0, 0] + r, mpmath.mpf(float(value)) - m[0]
            gain = [P[i, 0] / S for i in range(n)]
            total -= (mpmath.log(2 * mpmath.pi * S) + v * v / S) / 2
            for i in range(n):
                m[i] += gain[i] * v
            P = mpmath.matrix(
                [[P[i, j] - gain[i] * P[0, j] for j in range(n)] for i in range(n)]
            )
        return float(total), np.array([float(value) for value in m])


def rounding_of_the_mean(matrices, y, size):
    """Deviation of the last mean where every row rounds each entry of it once.

    Everything else exact: e <- (I - K H)(F e + w), w uniform within half a unit in the
    last place of an entry of that `size`. A third derivative that follows from values
    of 4e3 seen to 1e-5 moves by 1e-8 of itself, whatever the filter.
    """
    _, P, F, Q, H, R = matrices
    E = np.zeros_like(P)
    for k, value in enumerate(y[:, 0]):
        if k:
            P, E = F @ P @ F.T + Q, F @ E @ F.T
        E = E + np.diag(np.spacing(size[k]) ** 2 / 12.0)
        if not np.isnan(value):
            K = P @ H.T / (H @ P @ H.T + R)
            stay = np.eye(len(P)) - K @ H
            P, E = stay @ P @ stay.T + K @ R @ K.T, stay @ E @ stay.T
    return np.sqrt(np.diagonal(E))


@pytest.mark.slow
def test_fifty_digits_lose_as_much_once_the_mean_is_rounded():
    case = CASES["order3-noise1e-10-missing0.0"]
    matrices, y = series(case, 200)
    m0, P0, F, Q, _, R = matrices
    exact = fifty_digits(m0, P0, F, Q, R, y)[1]
    lost = [
        fifty_digits(m0, P0, F, Q, R, y, rounding=np.random.default_rng(seed))[1]
        - exact
        for seed in range(16)
    ]
    size = filter_series(LinearGaussian(*matrices), Observations(y)).means
    want = rounding_of_the_mean(matrices, y, np.abs(size))
    ratio = np.sqrt(np.mean(np.square(lost), axis=0)) / want
    assert ((ratio > 0.5) & (ratio < 2.0))[1:].all()  # of 16 draws, to 18 %


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_table_is_of_these_series(case):
    _, y = series(case)
    assert float(np.nansum(y)) == pytest.approx(float(case["checksum"]), rel=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("case", [STIFF, GAPPY], ids=_case)
def test_the_table_is_what_fifty_digits_say(case):
    (m0, P0, F, Q, _, R), y = series(case)
    total, final = fifty_digits(m0, P0, F, Q, R, y)
    np.testing.assert_allclose(total, float(case["log_likelihood"]), rtol=1e-15)
    want = [float(value) for value in case["final_mean"]]
    np.testing.assert_allclose(final, want, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("method", FORMS, ids=_form)
def test_the_likelihood_is_right_to_a_millionth(method, case):
    matrices, y = series(case)
    got = filter_series(LinearGaussian(*matrices), Observations(y), method)
    assert abs(float(got.log_likelihood) - float(case["log_likelihood"])) < 1e-6
    want = np.array([float(value) for value in case["final_mean"]])
    lost = np.abs(got.means[-1] - want)
    deviation = np.sqrt(np.diagonal(got.covs[-1]))
    assert (lost < 1e-6 * deviation).all()
    # 1e-8 of each entry, or what a mean that is stored in float64 cannot hold
    floor = rounding_of_the_mean(matrices, y, np.abs(got.means))
    assert (lost < np.maximum(1e-8 * np.abs(want), 8.0 * floor)).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", FORMS, ids=_form)
def test_single_precision_stays_finite_and_near(method):
    """Data are rounded to 3e-5 here: as much as the noise in the second case."""
    for case, close in ((MILD, 5e-4), (STIFF, 0.05)):
        matrices, y = series(case)
        single = [jnp.asarray(x, jnp.float32) for x in (*matrices, y)]
        model, data = LinearGaussian(*single[:-1]), Observations(single[-1])
        got = smooth_series(model, data, method)
        assert got.means.dtype == jnp.float32
        for values in (got.means, got.covs, got.filter.step_log_likelihoods):
            assert np.isfinite(values).all()
        want = float(case["log_likelihood"])
        np.testing.assert_allclose(got.log_likelihood, want, rtol=close)


@pytest.mark.slow
@pytest.mark.parametrize("method", FORMS[1:], ids=_form)
def test_stiff_smoothing_agrees_with_joseph_form(method):
    matrices, y = series(GAPPY)
    model, data = LinearGaussian(*matrices), Observations(y)
    got, want = smooth_series(model, data, method), smooth_series(model, data)
    deviation = np.sqrt(np.diagonal(want.covs, axis1=1, axis2=2))
    assert (np.abs(got.means - want.means) < 1e-5 * deviation).all()
    size = deviation[:, :, None] * deviation[:, None, :]
    assert (np.abs(got.covs - want.covs) < 1e-6 * size).all()
