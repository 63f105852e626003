"""Constrained parameters: there and back, and what a fit may move."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.errors import InputError
from slipstate.ground.params import (
    Interval,
    Parameter,
    Positive,
    Real,
    Unit,
    free_vector,
    natural,
    natural_vector,
    trainable,
    with_values,
)

BIJECTIONS = [Real(), Positive(), Unit(), Interval(-2.0, 5.0)]


@pytest.mark.parametrize("bijection", BIJECTIONS, ids=lambda b: type(b).__name__)
def test_there_and_back_and_upwards(bijection):
    free = jnp.linspace(-4.0, 4.0, 9)
    value = bijection.forward(free)
    np.testing.assert_allclose(bijection.inverse(value), free, rtol=1e-9, atol=1e-12)
    assert (np.diff(value) > 0).all()


def test_values_outside_their_set_are_refused():
    for value, bijection in ((-1.0, Positive()), (1.0, Unit()), (7.0, Interval(0, 7))):
        with pytest.raises(InputError, match="`value` must lie inside"):
            Parameter(value, bijection)


def test_a_tree_goes_to_a_vector_and_comes_back():
    tree = {
        "fixed": Parameter(3.0, Positive(), trainable=False),
        "noise": Parameter([1.0, 4.0], Positive()),
        "plain": jnp.array(9.0),
        "switch": Parameter(0.25, Unit()),
    }
    assert len(trainable(tree)) == 2
    free = free_vector(tree)
    np.testing.assert_allclose(free, [0.0, np.log(4.0), np.log(1 / 3)])
    np.testing.assert_allclose(natural_vector(tree, free), [1.0, 4.0, 0.25])
    moved = with_values(tree, jnp.array([2.0, 3.0, 0.5]))
    values = natural(moved)
    np.testing.assert_allclose(values["noise"], [2.0, 3.0])
    assert float(values["switch"]) == 0.5
    assert float(values["fixed"]) == 3.0
    assert float(values["plain"]) == 9.0
    assert jax.tree.structure(moved) == jax.tree.structure(tree)


def test_a_model_may_hold_parameters_as_its_leaves():
    class Line(eqx.Module):
        slope: Parameter | jax.Array
        name: str

    line = Line(Parameter(2.0), "line")
    assert isinstance(natural(line).slope, jax.Array)
    assert natural(line).name == "line"
