"""The bridge for fields: the local ensemble Kalman filter as a limit, and its lists."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate.bridge import (
    LocalBridgeFilter,
    SigmaPoints,
    near_observations,
    ring_neighbours,
)
from slipstate.assimilate.bridge.place import (
    Field,
    condition_place,
    log_weights,
    over_places,
    regress,
)
from slipstate.assimilate.local_ensemble import LocalEnsembleTransformKalman
from slipstate.assimilate.localise import Localisation, gaspari_cohn
from slipstate.ground.errors import InputError, MethodError
from slipstate.systems import Ensemble, LinearGaussian

D, M = 12, 6
MODEL = LinearGaussian(
    np.zeros(D), np.eye(D), np.eye(D), np.eye(D), np.eye(D), 0.5 * np.eye(D)
)


def taper(half_width=2.0):
    apart = np.abs(np.arange(D)[:, None] - np.arange(D)[None, :])
    return gaspari_cohn(jnp.asarray(np.minimum(apart, D - apart) / half_width))


@eqx.filter_jit
def update(method, x, y, mask, key):
    return method.update(MODEL, Ensemble(x), y, mask, None, key=key)


def smooth_cloud(key):
    angle = 2 * np.pi * np.arange(D) / D
    waves = np.stack([np.ones(D), np.cos(angle), np.sin(angle), np.cos(2 * angle)])
    return jax.random.normal(key, (M, 4)) @ jnp.asarray(waves)


def test_lists_hold_what_the_matrix_holds():
    dense = np.asarray(taper())
    for lists in (near_observations(Localisation(dense)), ring_neighbours(D, 2.0)):
        rebuilt = np.zeros((D, D))
        np.add.at(rebuilt, (np.arange(D)[:, None], lists.index), lists.taper)
        np.testing.assert_allclose(rebuilt, dense, atol=1e-12)
    every = ring_neighbours(D, 2.0, every=3)
    rebuilt = np.zeros((D, D // 3))
    np.add.at(rebuilt, (np.arange(D)[:, None], every.index), every.taper)
    np.testing.assert_allclose(rebuilt, dense[:, ::3], atol=1e-12)
    with pytest.raises(InputError, match="`half_width`"):
        ring_neighbours(D, 6.0)


def test_one_wide_component_is_the_local_ensemble_transform_kalman_filter(key):
    x, mask = smooth_cloud(key), jnp.arange(D) != 4
    y = jnp.sin(1.0 + jnp.arange(1.0 * D))
    lists = ring_neighbours(D, 2.0)
    got, _ = update(LocalBridgeFilter(lists, M), x, y, mask, key)
    letkf = LocalEnsembleTransformKalman(
        localisation=Localisation(taper()), members=M, rotate=False
    )
    want, _ = update(letkf, x, y, mask, key)
    np.testing.assert_allclose(got.members, want.members, atol=1e-8)


def test_narrow_components_keep_a_field_smooth_and_nothing_makes_it_nan(key):
    x, all_seen = smooth_cloud(key), jnp.ones(D, bool)
    method = LocalBridgeFilter(ring_neighbours(D, 2.0), M, bandwidth=0.7, theta=0.3)
    y = jnp.sin(jnp.arange(1.0 * D))
    got, info = update(method, x, y, all_seen, key)
    rough = lambda a: np.abs(np.diff(np.asarray(a), axis=1)).max()
    assert rough(got.members) < 3.0 * rough(x)
    assert 0.0 < info.bandwidth < 1.0
    for cloud, value in (
        (jnp.ones((M, D)), y),
        (x, 1e4 * y),
        (x.at[2].set(jnp.nan), y),
        (jnp.repeat(x[:2], M // 2, axis=0), y),
    ):
        after, info = update(method, cloud, value, all_seen, key)
        assert np.isfinite(after.members).all()
        assert np.isfinite(method.log_likelihood(info))
    same, info = update(method, x, y, ~all_seen, key)
    np.testing.assert_array_equal(same.members, x)
    assert method.log_likelihood(info) == 0.0
    wrong = LocalBridgeFilter(ring_neighbours(D + 1, 2.0), M)
    with pytest.raises(MethodError, match="`neighbours`"):
        wrong.check(MODEL)


def a_field(shared, near, latent, members=5):
    rng = np.random.default_rng(4)
    slopes = rng.normal(size=(near, latent) if shared else (members, near, latent))
    return Field(
        y=jnp.asarray(rng.normal(size=near)),
        mask=jnp.arange(near) != 1,
        noise=jnp.asarray(rng.uniform(0.3, 2.0, (1 if shared else members, near))),
        predicted=jnp.asarray(rng.normal(size=(members, near))),
        slopes=jnp.asarray(slopes),
        h=jnp.asarray(0.6),
        members=jnp.asarray(rng.normal(size=(members, latent))),
        centres=jnp.asarray(0.8 * rng.normal(size=(members, latent))),
    )


@pytest.mark.parametrize(
    ("shared", "near", "latent"), [(True, 3, 4), (True, 6, 4), (False, 3, 4)]
)
def test_a_place_is_kalmans_update_of_every_component(shared, near, latent):
    field = a_field(shared, near, latent)
    taper = jnp.linspace(1.0, 0.0, near)  # the last is not heard, the second masked
    row, count = jnp.arange(1.0, latent + 1.0), len(field.members)
    every = jnp.arange(near)
    place = condition_place(field, jnp.ones(count, bool), every, taper, row)
    heard = np.asarray(field.mask) & (np.asarray(taper) > 0)
    logs, means, covs = [], [], []
    for j in range(count):
        J = np.asarray(field.slopes if shared else field.slopes[j])[heard]
        R = np.asarray(field.noise[0 if shared else j])[heard]
        R = np.diag(R / np.asarray(taper)[heard])
        r = np.asarray(field.y - field.predicted[j])[heard]
        S = 0.36 * J @ J.T + R
        K = 0.36 * J.T @ np.linalg.inv(S)
        logs.append(-0.5 * (r @ np.linalg.inv(S) @ r + np.linalg.slogdet(S)[1]))
        means.append(row @ (np.asarray(field.centres[j]) + K @ r))
        covs.append(np.eye(latent) - K @ J)
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    got = jax.nn.softmax(place.log_weights)
    np.testing.assert_allclose(got, weights, rtol=1e-9)
    got = jax.nn.softmax(log_weights(field, every, taper))
    np.testing.assert_allclose(got, weights, rtol=1e-9)
    np.testing.assert_allclose(place.means, means, rtol=1e-9)
    A = np.einsum("j,jab->ab", weights, covs)
    values, vectors = np.linalg.eigh(A)
    want = vectors @ (np.sqrt(values) * (vectors.T @ np.asarray(row)))
    np.testing.assert_allclose(place.root, want, rtol=1e-9)
    np.testing.assert_allclose(place.inside, row @ A @ row, rtol=1e-9)


def test_the_regression_line_is_that_of_sigma_points():
    rng = np.random.default_rng(6)
    x, L = jnp.asarray(rng.normal(size=4)), jnp.asarray(rng.normal(size=(4, 5)))
    observe = lambda x: jnp.abs(x) + 0.1 * x**3
    mean, slope, beyond = regress(observe, x, L, jnp.asarray(0.7))
    inside = lambda e: observe(x + 0.7 * (L @ e))
    want = SigmaPoints().line(inside, jnp.zeros(5), None)
    np.testing.assert_allclose(mean, want.c, rtol=1e-12)
    np.testing.assert_allclose(0.7 * slope, want.J, rtol=1e-12)
    np.testing.assert_allclose(beyond, np.diag(want.extra), rtol=1e-9)


def test_many_places_are_done_a_few_at_a_time():
    x = jnp.arange(150.0)
    got = over_places(lambda x, y: (x + y, x * y), x, 2.0 * x)
    np.testing.assert_array_equal(got[0], 3.0 * x)
    np.testing.assert_array_equal(got[1], 2.0 * x * x)
