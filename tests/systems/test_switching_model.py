"""Switching systems: what they say, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.errors import InputError
from slipstate.systems import Mixture, SwitchingLinearGaussian, is_linear

GOOD = {
    "initial_mean": [1.0, 2.0],
    "initial_cov": np.eye(2),
    "initial_probs": [0.75, 0.25],
    "F": [np.eye(2), 0.5 * np.eye(2)],
    "Q": [0.1 * np.eye(2), 0.2 * np.eye(2)],
    "H": [[1.0, 0.0]],
    "R": [[0.3]],
    "switch": [[0.9, 0.1], [0.0, 1.0]],
    "b": [[0.0, 0.0], [1.0, -1.0]],
}


def build(**changed):
    parts = {**GOOD, **changed}
    parts = {name: np.asarray(part) for name, part in parts.items() if part is not None}
    return SwitchingLinearGaussian(**parts)


def test_a_model_holds_what_it_was_given():
    model = build()
    assert model.modes == 2
    assert model.observation.units == ("1",)
    assert not is_linear(model)
    x, dt = jnp.array([2.0, 4.0]), jnp.ones(())
    for mode, transition in enumerate(model.transitions):
        np.testing.assert_array_equal(transition.matrix(dt), GOOD["F"][mode])
        np.testing.assert_array_equal(transition.noise_cov(dt), GOOD["Q"][mode])
        np.testing.assert_array_equal(transition.offset(None, dt), GOOD["b"][mode])
    np.testing.assert_array_equal(model.transitions[1].mean(x, None, dt), [2.0, 1.0])


def test_the_first_belief_is_the_same_in_every_mode():
    initial = build().initial
    assert isinstance(initial, Mixture)
    np.testing.assert_allclose(initial.weights(), GOOD["initial_probs"], rtol=1e-15)
    np.testing.assert_allclose(initial.mean(), GOOD["initial_mean"], rtol=1e-15)
    np.testing.assert_allclose(initial.cov(), GOOD["initial_cov"], atol=1e-15)


def test_a_switch_is_read_by_rows_and_never_is_minus_infinity():
    model, x = build(), jnp.zeros(2)
    for mode in range(2):
        got = model.switch_log_probs(x, mode, None, 1.0)
        np.testing.assert_allclose(np.exp(got), GOOD["switch"][mode], rtol=1e-15)
        ask = lambda mode: model.switch_log_probs(x, mode, None, 1.0)
        traced = jax.jit(ask)(jnp.array(mode))
        np.testing.assert_array_equal(traced, got)
    assert model.switch_log_probs(x, 1, None, 1.0)[0] == -np.inf


def test_probabilities_of_zero_have_finite_gradients():
    def height(row):
        switch = jnp.stack([row, jnp.array([0.5, 0.5])])
        parts = {**GOOD, "switch": switch}
        parts = {
            name: jnp.asarray(np.asarray(x) if isinstance(x, list) else x)
            for name, x in parts.items()
        }
        model = SwitchingLinearGaussian(**parts)
        return jnp.exp(model.switch_log_probs(jnp.zeros(2), 0, None, 1.0)) @ row

    slope = jax.jit(jax.grad(height))(jnp.array([1.0, 0.0]))
    assert np.isfinite(slope).all()


def test_no_offset_is_none():
    model = build(b=None)
    np.testing.assert_array_equal(model.transitions[1].b, [0.0, 0.0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"F": np.eye(2)}, r"`F` must have shape \(any, any, any\); got \(2, 2\)"),
        ({"F": np.zeros((0, 2, 2))}, r"`F` must hold one matrix for each mode"),
        ({"F": np.zeros((2, 2, 3))}, r"`F` must have shape \(2, 3, 3\)"),
        ({"F": np.full((2, 2, 2), np.nan)}, r"`F` must be finite"),
        ({"Q": [np.eye(2)]}, r"`Q` must have shape \(2, 2, 2\)"),
        ({"Q": [np.eye(2), -np.eye(2)]}, r"`Q\[1\]` must be positive semi-definite"),
        ({"H": [[1.0]]}, r"`H` must have shape \(any, 2\)"),
        ({"R": np.eye(2)}, r"`R` must have shape \(1, 1\)"),
        ({"b": [0.0, 1.0]}, r"`b` must have shape \(2, 2\)"),
        ({"initial_probs": [1.0]}, r"`initial_probs` must have shape \(2\)"),
        ({"initial_probs": [0.5, 0.4]}, r"`initial_probs` must sum to one; got 0.9"),
        ({"initial_probs": [1.5, -0.5]}, r"`initial_probs` must not be negative"),
        ({"initial_cov": [[1, 2], [0, 1]]}, r"`initial_cov` must be symmetric"),
        ({"initial_mean": [np.inf, 0.0]}, r"`initial_mean` must be finite"),
        ({"switch": [[0.9, 0.3], [0.1, 0.7]]}, r"`switch\[0\]` must sum to one; got 1"),
        ({"switch": [[1.0, 0.0]]}, r"`switch` must have shape \(2, 2\)"),
    ],
)
def test_mistakes_are_named(changed, message):
    with pytest.raises(InputError, match=message):
        build(**changed)
