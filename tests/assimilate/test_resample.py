"""Drawing by weight: unbiased, bounded, and never past the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import Multinomial, Residual, Stratified, Systematic

SCHEMES = [Multinomial(), Residual(), Stratified(), Systematic()]
WEIGHTS = jnp.array([0.5, 0.0, 0.27, 0.03, 0.2])


def _counts(draws):
    return (np.asarray(draws)[:, :, None] == np.arange(5)).sum(axis=1)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: type(s).__name__)
def test_the_expected_number_of_copies_is_the_weight(scheme, key):
    draws = jax.vmap(lambda k: scheme(WEIGHTS, key=k))(jax.random.split(key, 4000))
    counts = _counts(draws)
    assert ((np.asarray(draws) >= 0) & (np.asarray(draws) < 5)).all()
    assert (counts[:, 1] == 0).all()  # no weight, no copy
    error = counts.mean(axis=0) - 5 * np.asarray(WEIGHTS)
    assert (np.abs(error) < 5 * counts.std(axis=0) / 63 + 1e-9).all()
    if not isinstance(scheme, Multinomial):
        spread = Multinomial()
        many = jax.vmap(lambda k: spread(WEIGHTS, key=k))(jax.random.split(key, 4000))
        loose = _counts(many)
        assert counts.var(axis=0).sum() < loose.var(axis=0).sum()
    if isinstance(scheme, Systematic | Residual):
        assert (counts >= np.floor(5 * np.asarray(WEIGHTS)) - 1e-9).all()


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: type(s).__name__)
def test_one_member_may_have_all_the_weight(scheme, key):
    last = jnp.zeros(7).at[6].set(1.0)
    np.testing.assert_array_equal(scheme(last, key=key), 6)
