"""Tapers, distances on a ring, and many small matrix roots at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import Localisation, gaspari_cohn, on_ring, ring_distances
from slipstate.assimilate.localise import GAUSSIAN_WIDTH, step_taper
from slipstate.ground.errors import InputError
from slipstate.ground.matrix_roots import inverse_and_root, psd_sqrt


def test_the_taper_has_its_published_values():
    got = gaspari_cohn(jnp.array([0.0, 1.0, 2.0, 3.0, -1.0]))
    np.testing.assert_allclose(got, [1.0, 5 / 24, 0.0, 0.0, 5 / 24], atol=1e-15)
    # once differentiable where its two pieces meet, and falling
    r = jnp.linspace(0.0, 2.2, 400)
    assert (np.diff(gaspari_cohn(r)) <= 0).all()
    slopes = jax.vmap(jax.grad(gaspari_cohn))(jnp.array([1 - 1e-9, 1 + 1e-9]))
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-6)
    # near its top it is a Gaussian of standard deviation c / sqrt(10 / 3)
    r = 0.01
    gauss = 1 - 0.5 * (r * GAUSSIAN_WIDTH) ** 2
    assert abs(float(gaspari_cohn(jnp.array(r))) - gauss) < 1e-6
    np.testing.assert_array_equal(step_taper(jnp.array([0.9, 1.0, 1.1])), [1, 1, 0])


def test_distances_go_the_shorter_way_round():
    got = ring_distances(10, [0, 9], [1, 5])
    np.testing.assert_array_equal(got, [[1, 5], [2, 4]])
    assert on_ring(10, 2.0, [0.0, 5.0]).taper.shape == (10, 2)
    np.testing.assert_allclose(jnp.diag(on_ring(6, 1.0).between), 1.0)


def test_wrong_tapers_are_refused():
    with pytest.raises(InputError, match="`taper`"):
        Localisation(2.0 * np.ones((3, 2)))
    with pytest.raises(InputError, match="`radius`"):
        on_ring(10, 0.0)


@pytest.mark.parametrize("n", [1, 5, 14])
def test_roots_of_many_matrices_are_those_of_each(n):
    scales = np.array([0.0, 1e-6, 1.0, 1e3, 1e7])
    rows = np.random.default_rng(n).normal(size=(n, n, 5)) * scales
    C = np.einsum("ijb,kjb->ikb", rows, rows)
    inverse, root = inverse_and_root(jnp.asarray(C))
    for b in range(5):
        values, vectors = np.linalg.eigh(np.eye(n) + C[:, :, b])
        for got, power in ((inverse, -1.0), (root, -0.5)):
            want = (vectors * values**power) @ vectors.T
            np.testing.assert_allclose(got[:, :, b], want, atol=1e-10)


def test_a_square_root_is_differentiable_where_it_is_singular():
    rng = np.random.default_rng(3)
    low = rng.normal(size=(4, 2))
    A = jnp.asarray(low @ low.T)
    np.testing.assert_allclose(psd_sqrt(A) @ psd_sqrt(A), A, atol=1e-12)
    # along directions inside its range, the derivative is that of differences
    turn = rng.normal(size=(2, 2))
    move = jnp.asarray(low @ (turn + turn.T) @ low.T)
    slope = jax.jvp(psd_sqrt, (A,), (move,))[1]
    h = 1e-3
    step = (psd_sqrt(A + h * move) - psd_sqrt(A - h * move)) / (2 * h)
    np.testing.assert_allclose(slope, step, rtol=1e-3, atol=1e-4)
