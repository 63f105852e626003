"""What is checked when numbers come in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.arrays import as_real, check_covariance, check_finite
from slipstate.ground.errors import InputError


def test_integers_become_floats_and_floats_keep_their_width():
    assert as_real("x", [1, 2], (2,)).dtype == jnp.float64
    assert as_real("x", jnp.zeros(2, jnp.float32), (None,)).dtype == jnp.float32


def test_shapes_and_complex_numbers_are_refused_by_name():
    with pytest.raises(InputError, match=r"`F` must have shape \(any, 2\)"):
        as_real("F", np.zeros((3, 3)), (None, 2))
    with pytest.raises(InputError, match="`F` must be real"):
        as_real("F", np.zeros(3, complex), (3,))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0, 0.5], [0.4, 1.0]], "symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], "positive semi-definite"),
        ([[-1.0, 0.0], [0.0, 1.0]], "positive semi-definite"),
        ([[np.nan, 0.0], [0.0, 1.0]], "finite"),
        (
            [[1e-12, 2e-6], [2e-6, 1.0]],
            "positive semi-definite",
        ),  # units do not hide it
    ],
)
def test_what_is_no_covariance_is_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        check_covariance("P", jnp.array(matrix))


def test_covariances_pass_whatever_their_units_or_rank():
    root = np.diag([1e-6, 1.0, 1e6]) @ np.random.default_rng(0).normal(size=(3, 2))
    check_covariance("P", jnp.array(root @ root.T))
    check_covariance("P", jnp.zeros((2, 2)))


def test_traced_values_pass_because_they_are_not_known_yet():
    @jax.jit
    def traced(x):
        check_covariance("P", -jnp.eye(2) * x)
        check_finite("P", jnp.log(x - 2.0))
        return x

    assert float(traced(jnp.ones(()))) == 1.0


def test_the_first_bad_place_is_named():
    with pytest.raises(InputError, match=r"index \(1, 0\)"):
        check_finite("y", jnp.array([[1.0, 2.0], [jnp.inf, 3.0]]))
