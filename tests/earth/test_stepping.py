import diffrax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.earth.stepping import WrittenDopri8, dopri8_step


def pendulum(y):
    return y[1], -jnp.sin(y[0])


START = (jnp.asarray(1.0), jnp.asarray(0.3))


def test_one_step_is_that_of_diffrax():
    term = diffrax.ODETerm(lambda t, y, args: pendulum(y))
    solver = diffrax.Dopri8()
    state = solver.init(term, 0.0, 0.7, START, None)
    expected, expected_error, *_ = solver.step(
        term, 0.0, 0.7, START, None, state, made_jump=False
    )
    found, error = dopri8_step(pendulum, START, 0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    np.testing.assert_allclose(error, expected_error, rtol=1e-6, atol=1e-16)


def test_the_error_of_a_step_falls_with_the_ninth_power():
    errors = []
    for h in (0.25, 0.125):
        (end,), _ = dopri8_step(lambda y: (-y[0] * y[0],), (jnp.asarray(1.0),), h)
        errors.append(abs(float(end) - 1.0 / (1.0 + h)))
    # nine in the limit; at these steps, the last above rounding, a little less
    assert np.log2(errors[0] / errors[1]) == pytest.approx(8.5, abs=0.6)


def test_a_step_back_undoes_a_step():
    there, _ = dopri8_step(pendulum, START, 0.05)
    back, _ = dopri8_step(pendulum, there, -0.05)
    np.testing.assert_allclose(back, START, rtol=1e-14)


def test_a_whole_solution_is_that_of_diffrax():
    def end(solver):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: pendulum(y)),
            solver,
            0.0,
            20.0,
            None,
            START,
            # errors well above rounding, which must not choose the steps
            stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-9),
            adjoint=diffrax.ForwardMode(),
            max_steps=None,
        )

    ours, theirs = end(WrittenDopri8()), end(diffrax.Dopri8())
    assert ours.ys is not None
    assert theirs.ys is not None
    np.testing.assert_allclose(ours.ys, theirs.ys, rtol=1e-12)
    assert int(ours.stats["num_steps"]) == int(theirs.stats["num_steps"])
