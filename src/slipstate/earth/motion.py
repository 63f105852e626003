"""The motion of a spring-slider at the times a user asks for."""

import diffrax
import equinox as eqx
from jaxtyping import Array, Float

from slipstate.earth.flow import SliderFlow
from slipstate.ground.types import ScalarLike


class SliderRun(eqx.Module):
    """The motion of a slider at the times asked for.

    Attributes:
        times: When [s].
        ln_speed: ln V [ln m/s].
        ln_state: ln theta [ln s].
        stress: Spring stress sigma f + eta V [Pa].
        slip: Slip since the first time [m].
    """

    times: Float[Array, " time"]
    ln_speed: Float[Array, " time"]
    ln_state: Float[Array, " time"]
    stress: Float[Array, " time"]
    slip: Float[Array, " time"]


def simulate(
    flow: SliderFlow,
    times: Float[Array, " time"],
    start: Float[Array, " state"],
    rtol: ScalarLike,
) -> SliderRun:
    """Integrate in time, not on the clock of `flow`, and read the dense output.

    Args:
        flow: The slider.
        times: When [s], increasing.
        start: (ln V, ln theta) at the first of `times`.
        rtol: Relative and absolute tolerance of ln V and ln theta, per step.

    Returns:
        Speed, state, stress and slip at `times`.
    """
    moments = (times - times[0]) * flow.second()
    x, y, _ = flow.scaled(start)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, u, args: flow.rates(*u)[:2]),
        diffrax.Dopri8(),
        t0=moments[0],
        t1=moments[-1],
        dt0=None,
        y0=(x, y),
        saveat=diffrax.SaveAt(ts=moments),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol),
        adjoint=diffrax.ForwardMode(),
        max_steps=None,
    )
    assert solution.ys is not None
    x, y = solution.ys
    stress = flow.stress(x, y)
    # the spring knows the slip: k (Vpl t - s) is the change of its stress
    given = (stress - stress[0]) / (flow.sigma * flow.stiffness)
    slip = flow.Dc * (moments - given)
    return SliderRun(times, *flow.physical(x, y), stress, slip)
