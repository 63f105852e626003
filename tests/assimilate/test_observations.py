"""What comes in as observations, and what is turned away at the door."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import Observations, filter_series
from slipstate.ground.errors import InputError
from slipstate.systems import LinearGaussian


def test_nan_becomes_a_mask_and_never_stays():
    got = Observations(np.array([[1.0, np.nan], [np.nan, np.nan]]))
    np.testing.assert_array_equal(got.mask, [[True, False], [False, False]])
    assert np.isfinite(got.y).all()
    np.testing.assert_array_equal(got.t, [0.0, 1.0])
    assert len(got) == 2


def test_a_stretch_keeps_its_times_and_mask():
    series = Observations(
        np.arange(6.0)[:, None], t=2.0 * np.arange(6), u=np.ones((6, 2))
    )
    part = series[2:4]
    np.testing.assert_array_equal(part.t, [4.0, 6.0])
    assert part.u is not None
    assert part.u.shape == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.zeros((0, 1))}, "at least one row"),
        ({"y": np.zeros(3)}, "`y` must have shape"),
        ({"y": np.array([[1.0], [np.inf]])}, r"`y` must be finite.*\(1, 0\)"),
        ({"y": np.zeros((3, 1)), "t": [0.0, 2.0, 1.0]}, "row 2 is at 1 after 2"),
        ({"y": np.zeros((3, 1)), "t": [0.0, 1.0]}, "`t` must have shape"),
        ({"y": np.zeros((3, 1)), "mask": np.ones((3, 1))}, "`mask` must be bool"),
        ({"y": np.zeros((3, 1)), "u": np.zeros((2, 1))}, "`u` must have shape"),
        (
            {"y": np.array([[1.0], [np.nan]]), "mask": np.ones((2, 1), bool)},
            "NaN at row 1, component 0",
        ),
    ],
)
def test_bad_series_are_refused_with_the_place(arguments, message):
    with pytest.raises(InputError, match=message):
        Observations(**arguments)


def test_a_series_can_be_built_inside_a_traced_function():
    total = jax.jit(lambda y: jnp.sum(Observations(y).mask))
    assert int(total(jnp.array([[1.0], [jnp.nan]]))) == 1


def test_the_model_must_predict_as_many_components():
    one = np.eye(1)
    model = LinearGaussian([0.0], one, one, one, one, one)
    with pytest.raises(InputError, match="must have 1 components"):
        filter_series(model, Observations(np.zeros((4, 2))))
    with pytest.raises(InputError, match="`prior_at`"):
        filter_series(model, Observations(np.zeros((4, 1))), prior_at="later")
