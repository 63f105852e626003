"""The adjoint smoother against conditioning of one dense joint Gaussian."""

import jax.numpy as jnp
import numpy as np

from slipstate.assimilate.network_smoother import smooth_network

T = 12
GAUSSIAN = 1e13  # degrees of freedom at which no weight differs from one


def smooth(model, y, mask, scale, slipping, kicks, dof):
    y, mask, scale = jnp.asarray(y), jnp.asarray(mask), jnp.asarray(scale)
    return smooth_network(
        model, y, mask, scale, jnp.asarray(slipping), jnp.asarray(kicks), dof
    )


def dense_smoother(model, s, c, y, mask, scale, slipping, kicks):
    """Condition all states of one series at once."""
    F, b = np.asarray(model.F[s, c]), np.asarray(model.b[-1, s, c])
    Q, K = np.asarray(model.Q[0, s, c]), np.asarray(model.kick_cov[s, c])
    h, N = np.asarray(model.h), len(model.h)
    # x = A (x0, w1, ..., wT) + offsets, with independent blocks w
    blocks = [np.asarray(model.initial_cov[s, c])]
    A, offset = np.zeros((T * N, (T + 1) * N)), np.zeros(T * N)
    row, mean = np.zeros((N, (T + 1) * N)), np.asarray(model.initial_mean[s, c])
    row[:, :N] = np.eye(N)
    for t in range(T):
        p = slipping[t]
        row, mean = F @ row, F @ mean + p * b
        row[:, (t + 1) * N : (t + 2) * N] += np.eye(N)
        blocks.append(Q + p * (1 - p) * np.outer(b, b) + kicks[t] * K)
        A[t * N : (t + 1) * N], offset[t * N : (t + 1) * N] = row, mean
    D = np.zeros((A.shape[1], A.shape[1]))
    for k, block in enumerate(blocks):
        D[k * N : (k + 1) * N, k * N : (k + 1) * N] = block
    cov = A @ D @ A.T
    H = np.kron(np.eye(T), h)[mask]
    R = np.diag((float(model.noise_scale[s, c]) * scale[mask]) ** 2)
    gain = np.linalg.solve(H @ cov @ H.T + R, H @ cov).T
    mean = offset + gain @ (y[mask] - H @ offset)
    cov = cov - gain @ H @ cov
    signal = np.kron(np.eye(T), h)
    return (
        mean.reshape(T, N),
        np.sqrt(np.diagonal(cov)).reshape(T, N),
        np.sqrt(np.diagonal(signal @ cov @ signal.T)),
    )


def test_the_smoother_is_dense_conditioning(build_network):
    model = build_network(stations=2, comps=2)
    rng = np.random.default_rng(21)
    y = 2.0 * rng.normal(size=(T, 2, 2))
    mask = rng.uniform(size=y.shape) > 0.25
    scale = rng.uniform(0.5, 2.0, size=y.shape)
    slipping = rng.uniform(size=T)
    kicks = np.zeros((T, 2), bool)
    kicks[5, 1] = True
    means, sds, signal_sds = smooth(model, y, mask, scale, slipping, kicks, GAUSSIAN)
    for s, c in np.ndindex(2, 2):
        at = np.s_[:, s, c]
        mean, sd, signal_sd = dense_smoother(
            model, s, c, y[at], mask[at], scale[at], slipping, kicks[:, s].astype(float)
        )
        np.testing.assert_allclose(means[:, s, c], mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(sds[:, s, c], sd, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(signal_sds[:, s, c], signal_sd, rtol=1e-9, atol=1e-9)


def test_an_outlier_hardly_moves_the_smoothed_states(build_network):
    model = build_network()
    y = np.random.default_rng(22).normal(size=(T, 1, 1))
    wild = y.copy()
    wild[6] += 1000.0
    ones, never, kicks = np.ones(y.shape), np.zeros(T), np.zeros((T, 1), bool)
    mask = np.arange(T)[:, None, None] != 6
    without, _, _ = smooth(model, y, mask, ones, never, kicks, 4.0)
    tame, _, _ = smooth(model, wild, ones > 0, ones, never, kicks, 4.0)
    normal, _, _ = smooth(model, wild, ones > 0, ones, never, kicks, GAUSSIAN)
    h = np.asarray(model.h)
    assert np.max(np.abs((tame - without) @ h)) < 0.5
    assert np.max(np.abs((normal - without) @ h)) > 50.0
