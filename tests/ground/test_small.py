"""Written-out products against the library's."""

import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.small import SMALL, applied, congruent, dot, product


@pytest.mark.parametrize("inner", [0, 1, SMALL, SMALL + 1])
def test_products_are_products(inner):
    rng = np.random.default_rng(inner)
    A, B = (jnp.asarray(rng.normal(size=shape)) for shape in ((3, inner), (inner, 4)))
    P = jnp.asarray(rng.normal(size=(inner, inner)))
    np.testing.assert_allclose(product(A, B), A @ B, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(applied(A, B[:, 0]), A @ B[:, 0], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(congruent(A, P), A @ P @ A.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dot(A[0], B[:, 0]), A[0] @ B[:, 0], atol=1e-13)
