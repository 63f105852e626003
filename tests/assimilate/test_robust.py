"""The Student-t update against a sum over the state itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from slipstate.assimilate import StudentT
from slipstate.ground.errors import InputError


def _posterior(v, s, r, dof):
    """Evidence, mean and variance of x ~ N(0, s) given v = x + t-noise, on a grid."""
    edge = 14 * np.sqrt(s) + abs(v)
    x, step = np.linspace(-edge, edge, 400_001, retstep=True)
    density = scipy.stats.norm.pdf(x, scale=np.sqrt(s))
    density *= scipy.stats.t.pdf(v - x, dof, scale=np.sqrt(r)) * step
    evidence = density.sum()
    mean = density @ x / evidence
    return np.log(evidence), mean, density @ (x - mean) ** 2 / evidence


@pytest.mark.parametrize("dof", [1.0, 4.0, 30.0, 200.0])
@pytest.mark.parametrize("v", [0.0, 1.0, 5.0, 40.0])
@pytest.mark.parametrize(("s", "r"), [(1.0, 1.0), (0.01, 1.0), (9.0, 0.5)])
def test_moments_and_evidence_are_those_of_the_integral(v, s, r, dof):
    evidence, mean, var = _posterior(v, s, r, dof)
    noise_model = StudentT(dof)
    args = [jnp.asarray(x) for x in (v, s, r)]
    noise, spread, _ = noise_model.effective_noise(*args)
    gain = s / (s + noise)
    np.testing.assert_allclose(noise_model.log_density(*args), evidence, rtol=1e-6)
    np.testing.assert_allclose(gain * v, mean, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(s - gain * s + spread * s * s, var, rtol=1e-6)


def test_without_a_signal_the_density_is_students():
    for v in (0.0, 1.0, 30.0, 1e3):
        got = StudentT(4.0).log_density(*(jnp.asarray(x) for x in (v, 0.0, 2.0)))
        want = scipy.stats.t.logpdf(v, 4.0, scale=np.sqrt(2.0))
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_the_weight_falls_with_the_square_of_an_outlier():
    def weight(v):
        args = (jnp.asarray(v), jnp.asarray(1e-9), jnp.asarray(1.0))
        return float(StudentT(4.0).effective_noise(*args)[2])

    for v in (0.0, 1.0, 10.0, 300.0):
        np.testing.assert_allclose(weight(v), 5.0 / (4.0 + v * v), rtol=1e-6)


def test_the_degrees_of_freedom_can_be_fitted():
    slope = jax.grad(
        lambda dof: StudentT(dof).log_density(
            jnp.asarray(6.0), jnp.asarray(0.5), jnp.asarray(1.0)
        )
    )(jnp.asarray(8.0))
    assert float(slope) < 0.0  # an outlier asks for heavier tails
    with pytest.raises(InputError, match="`dof`"):
        StudentT(0.0)
