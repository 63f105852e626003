"""The motion of a spring-slider in its own units.

With x = ln(V / Vpl), y = ln(theta Vpl / Dc), T = t Vpl / Dc, kappa = k Dc / sigma and
lambda = eta Vpl / sigma, the balance k (Vpl t - s) + tau0 = sigma f + eta V becomes,
after one derivative,

    dx/dT = [kappa (1 - e^x) r - b S'(y) dy/dT] / (a + lambda e^x r),

dy/dT from the state law and r = sqrt(1 + e^-2z), the trace of the regularisation, with
z = ln(V / 2 V0) + (f0 + b S) / a; r = 1 to rounding wherever f > 18.4 a. No algebraic
equation is solved and the stress is diagnostic.

Time runs from 1e-9 to 1e2 within one cycle. So cycles are followed on a clock s with
ds/dT = pace(x, y) + kappa / a, on which healing (y = ln T) and rupture (x = -ln T) are
straight lines: half as many steps, and equally many for every member of an ensemble.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.earth.friction import AbstractStateLaw, asinh_exp
from slipstate.earth.stepping import Unknowns, WrittenDopri8, dopri8_step
from slipstate.ground.types import Count, Flag, Scalar, ScalarLike

_LONGEST = 1e7
"""End of the clock s; a slip event of n Dc takes 2 n."""

_MAX_STEPS = 1 << 17
_POLISHES = 6

_LONGEST_STEP = 3.0
"""Near steady creep the motion turns by less than 0.36 radian per unit of s, whatever
the parameters. Steps of one radian neither jump over a mark nor leave its basin."""


class SliderFlow(eqx.Module):
    """The right-hand side in scaled variables.

    Attributes:
        a: Direct effect [-].
        b: Evolution effect [-].
        stiffness: kappa = k Dc / sigma [-].
        damping: lambda = eta Vpl / sigma [-].
        base: ln(Vpl / 2 V0) + f0 / a [-].
        ln_unit: ln Vpl [ln m/s].
        ln_reference: ln V0 [ln m/s].
        Dc: Slip distance over which the state evolves [m].
        sigma: Effective normal stress [Pa].
        law: How the state evolves.
    """

    a: Scalar
    b: Scalar
    stiffness: Scalar
    damping: Scalar
    base: Scalar
    ln_unit: Scalar
    ln_reference: Scalar
    Dc: Scalar
    sigma: Scalar
    law: AbstractStateLaw

    def exponent(
        self, x: Float[Array, "*time"], y: Float[Array, "*time"]
    ) -> Float[Array, "*time"]:
        """Return z, the logarithm of what friction takes the asinh of."""
        strength = self.law.strength(y, self.ln_unit, self.ln_reference)
        return x + self.base + (self.b / self.a) * strength

    def stress(
        self, x: Float[Array, "*time"], y: Float[Array, "*time"]
    ) -> Float[Array, "*time"]:
        """Return the spring stress sigma f + eta V [Pa]."""
        friction = self.a * asinh_exp(self.exponent(x, y))
        return self.sigma * (friction + self.damping * jnp.exp(x))

    def second(self) -> Scalar:
        """Return the duration of one second in T, Vpl / Dc."""
        return jnp.exp(self.ln_unit) / self.Dc

    def scaled(self, state: Float[Array, " state"]) -> Unknowns:
        """Return (x, y, 0) of a state (ln V, ln theta)."""
        x = state[0] - self.ln_unit
        return x, state[1] + self.ln_unit - jnp.log(self.Dc), jnp.zeros_like(x)

    def physical(
        self, x: Float[Array, "*time"], y: Float[Array, "*time"]
    ) -> tuple[Float[Array, "*time"], Float[Array, "*time"]]:
        """Return ln V [ln m/s] and ln theta [ln s] of scaled variables."""
        return x + self.ln_unit, y - self.ln_unit + jnp.log(self.Dc)

    def rates(self, x: Scalar, y: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """Return (dx/dT, dy/dT, ds/dT)."""
        z = self.exponent(x, y)
        # one exponential of a pair: separate ones the compiler would compute twice
        speed, healing = jnp.exp(jnp.stack([x, -y]))
        tail = jnp.exp(-2.0 * z)
        root = jnp.sqrt(1.0 + tail)
        drift = self.law.drift(speed, healing, x + y)
        weakening = self.b * self.law.sensitivity(healing, self.ln_unit)
        loading = self.stiffness * (1.0 - speed) * root
        dx = (loading - weakening * drift) / (self.a + self.damping * speed * root)
        pace = self.law.pace(speed, healing, x + y) + self.stiffness / self.a
        return dx, drift, pace

    def field(self, unknowns: Unknowns) -> Unknowns:
        """Return d(x, y, T)/ds."""
        x, y, _ = unknowns
        dx, dy, pace = self.rates(x, y)
        lapse = 1.0 / pace
        return dx * lapse, dy * lapse, lapse


class Mark(eqx.Module):
    """Where to stop: one of the marks of a slip event, chosen by number.

    The number is data and not a branch in Python, so that one compiled integrator
    serves every leg of a cycle.

    Attributes:
        kind: `RISE`, `FALL`, `EITHER` or `PEAK`.
        level: ln(V / Vpl) of the mark; not used by PEAK.
    """

    kind: Count
    level: Scalar

    def value(self, flow: SliderFlow, unknowns: Unknowns) -> Scalar:
        """Return a number that rises through zero at the mark."""
        x, y, _ = unknowns
        above = x - self.level
        slope, _, _ = flow.field((x, y, x))
        options = (above, -above, jnp.maximum(above, -x), -slope)
        return jnp.select([self.kind == k for k in range(4)], options)


RISE, FALL, EITHER, PEAK = range(4)
"""V rises through the level; falls; rises through it or falls below Vpl; is highest."""


def advance(
    flow: SliderFlow, start: Unknowns, mark: Mark, rtol: ScalarLike
) -> tuple[Unknowns, Count, Flag]:
    """Follow the motion to the next mark.

    diffrax stops at the end of the step in which the mark is passed; from there Newton
    steps of the same eighth-order method lead back to it. Unlike a root of the dense
    output this keeps the full order, and the output need not be kept in the loop.

    Args:
        flow: The slider.
        start: (x, y, T).
        mark: Where to stop.
        rtol: Relative and absolute tolerance of a step.

    Returns:
        (x, y, T) at the mark, the number of steps, and whether the mark was reached.
    """
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, u, args: flow.field(u)),
        WrittenDopri8(),
        t0=0.0,
        t1=_LONGEST,
        dt0=None,
        y0=start,
        stepsize_controller=diffrax.PIDController(
            rtol=rtol, atol=rtol, dtmax=_LONGEST_STEP
        ),
        saveat=diffrax.SaveAt(t1=True),
        event=diffrax.Event(
            lambda t, u, args, **_: mark.value(flow, u), direction=True
        ),
        # forward mode also means the plain while loop, which compiles to one kernel
        adjoint=diffrax.ForwardMode(),
        max_steps=_MAX_STEPS,
        throw=False,
    )
    assert solution.ys is not None
    found = solution.result == diffrax.RESULTS.event_occurred

    def polish(unknowns: Unknowns, _: None) -> tuple[Unknowns, None]:
        slope = flow.field(unknowns)
        value, change = jax.jvp(
            lambda u: mark.value(flow, u), (unknowns,), (tuple(slope),)
        )
        back = jnp.where(found & (change != 0.0), -value / change, 0.0)
        return dopri8_step(flow.field, unknowns, back)[0], None

    end = tuple(saved[0] for saved in solution.ys)
    end, _ = jax.lax.scan(polish, end, None, length=_POLISHES)
    return end, solution.stats["num_steps"], found
