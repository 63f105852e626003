"""A spring-slider as a transition of a state-space model.

Whatever a filter hands over is integrated at bounded cost and comes back finite. A
Kalman update can push a member far from anything a fault does; such a member is
brought back to the edge of what is possible and then finds its way by the physics.
"""

import diffrax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.earth.friction import positive
from slipstate.earth.slider import SpringSlider
from slipstate.earth.stepping import WrittenDopri8
from slipstate.ground.arrays import Numbers, as_real
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.protocol import AbstractTransition, Input

FASTEST = 10.0
"""No fault slips faster [m/s]."""

_SLOWEST = 30.0
"""How far ln V may lie below ln Vpl: stress would have to fall by 30 a sigma."""

_STATES = 30.0
"""How far ln theta may lie from that of steady creep."""

_MAX_STEPS = 1024


class SliderTransition(AbstractTransition):
    """The motion of (ln V, ln theta) over `dt`, with random disturbance if wanted.

    Attributes:
        slider: The fault.
        unit: Duration of one unit of `dt` [s]; 86400 where time is in days.
        diffusion: Standard deviation per square root of a unit of `dt`, of ln V and
            ln theta; model error.
        rtol: Relative and absolute tolerance, per step of the integrator.
    """

    slider: SpringSlider
    unit: Scalar
    diffusion: Float[Array, " state"]
    rtol: Scalar

    def __init__(
        self,
        slider: SpringSlider,
        unit: ScalarLike = 86_400.0,
        diffusion: Numbers = (0.0, 0.0),
        rtol: ScalarLike = 1e-7,
    ) -> None:
        """Check and keep the parts.

        Args:
            slider: The fault.
            unit: Duration of one unit of `dt` [s].
            diffusion: Standard deviation per square root of a unit of `dt`.
            rtol: Tolerance of the integrator.

        Raises:
            InputError: A number is not positive, or `diffusion` not a pair.
        """
        self.slider = slider
        self.unit = positive("unit", unit, "s")
        self.diffusion = as_real("diffusion", diffusion, (2,))
        self.rtol = positive("rtol", rtol, "-")

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return (ln V, ln theta) after `dt`."""
        del u
        flow = self.slider.flow()
        begin = self.clamp(x)
        span = dt * self.unit * flow.second()
        solution = diffrax.diffeqsolve(
            # on a clock from 0 to 1, so that dt may be anything, zero included
            diffrax.ODETerm(
                lambda t, v, args: tuple(span * r for r in flow.rates(*v)[:2])
            ),
            WrittenDopri8(),
            t0=0.0,
            t1=1.0,
            dt0=None,
            y0=flow.scaled(begin)[:2],
            stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.rtol),
            saveat=diffrax.SaveAt(t1=True),
            adjoint=diffrax.ForwardMode(),
            max_steps=_MAX_STEPS,
            throw=False,
        )
        assert solution.ys is not None
        end = jnp.stack(flow.physical(*(saved[0] for saved in solution.ys)))
        return self.clamp(jnp.where(jnp.isfinite(end), end, begin))

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state noise"]:
        """Return the diagonal of the disturbance's standard deviations over `dt`."""
        del x, u
        return jnp.diag(self.diffusion) * jnp.sqrt(jnp.asarray(dt, float))

    def clamp(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """Return the nearest state that a fault can have; never NaN."""
        creep = self.slider.steady_state()
        lowest = creep - jnp.asarray([_SLOWEST, _STATES])
        highest = jnp.stack([jnp.log(jnp.asarray(FASTEST)), creep[1] + _STATES])
        return jnp.clip(jnp.where(jnp.isnan(x), creep, x), lowest, highest)
