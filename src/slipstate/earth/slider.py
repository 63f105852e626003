"""The quasi-dynamic spring-slider with rate-and-state friction.

A block on a fault, pulled through a spring of stiffness k by a plate that moves at Vpl:

    k (Vpl t - s) + tau0 = sigma f(V, theta) + eta V,    V = ds/dt,

with radiation damping eta = mu / (2 c_s) standing for the waves sent away. Below the
critical stiffness it slips in events, fast or slow. Quasi-dynamic motion underestimates
rupture speed; stress, slip and recurrence are good.

References:
    Rice (1993), doi:10.1029/93JB00191; Erickson et al. (2020),
    doi:10.1785/0220190248.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.earth.cycle import LimitCycle, SlipEvents, limit_cycle, slip_events
from slipstate.earth.flow import SliderFlow
from slipstate.earth.friction import (
    AbstractStateLaw,
    AgeingLaw,
    RateStateFriction,
    positive,
)
from slipstate.earth.motion import SliderRun, simulate
from slipstate.ground.arrays import Numbers, as_real, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.platform import require_float64
from slipstate.ground.types import Scalar, ScalarLike

RADIATION_DAMPING = 0.5 * 2670.0 * 3464.0
"""mu / (2 c_s) of crustal rock, rho = 2670 kg/m^3 and c_s = 3464 m/s [Pa s/m]."""


class SpringSlider(eqx.Module):
    """A spring-slider; all parameters are numbers that jax may trace and batch.

    Its state is (ln V, ln theta). A hundred sliders are one slider whose numbers are
    arrays: build it under `equinox.filter_vmap` and map any method over it.

    Attributes:
        a: Direct effect [-].
        b: Evolution effect [-].
        Dc: Slip distance over which the state evolves [m].
        sigma: Effective normal stress [Pa].
        k: Stiffness of the spring [Pa/m].
        Vpl: Speed of the plate [m/s].
        eta: Radiation damping [Pa s/m]; some 1e11 makes the ageing law slip slowly.
        f0: Steady friction at V0 [-].
        V0: Reference speed [m/s].
        law: How the state evolves.
    """

    a: Scalar
    b: Scalar
    Dc: Scalar
    sigma: Scalar
    k: Scalar
    Vpl: Scalar
    eta: Scalar
    f0: Scalar
    V0: Scalar
    law: AbstractStateLaw

    def __init__(
        self,
        a: ScalarLike,
        b: ScalarLike,
        Dc: ScalarLike,
        sigma: ScalarLike,
        k: ScalarLike,
        Vpl: ScalarLike,
        eta: ScalarLike = RADIATION_DAMPING,
        f0: ScalarLike = 0.6,
        V0: ScalarLike = 1e-6,
        law: AbstractStateLaw | None = None,
    ) -> None:
        """Check and keep the parameters.

        Args:
            a: Direct effect [-].
            b: Evolution effect [-].
            Dc: Slip distance over which the state evolves [m].
            sigma: Effective normal stress [Pa].
            k: Stiffness of the spring [Pa/m].
            Vpl: Speed of the plate [m/s].
            eta: Radiation damping [Pa s/m].
            f0: Steady friction at V0 [-].
            V0: Reference speed [m/s].
            law: How the state evolves; None for the ageing law.

        Raises:
            InputError: A parameter is not positive.
            PrecisionError: float64 is switched off.
        """
        require_float64("A spring-slider, whose time runs over ten decades,")
        self.a = positive("a", a, "-")
        self.b = positive("b", b, "-")
        self.Dc = positive("Dc", Dc, "m")
        self.sigma = positive("sigma", sigma, "Pa")
        self.k = positive("k", k, "Pa/m")
        self.Vpl = positive("Vpl", Vpl, "m/s")
        self.eta = positive("eta", eta, "Pa s/m")
        self.f0 = positive("f0", f0, "-")
        self.V0 = positive("V0", V0, "m/s")
        self.law = AgeingLaw() if law is None else law

    def friction(self) -> RateStateFriction:
        """Return the friction of the slider's surface."""
        return RateStateFriction(self.a, self.b, self.Dc, self.f0, self.V0, self.law)

    def stress(
        self, ln_speed: Float[Array, "*time"], ln_state: Float[Array, "*time"]
    ) -> Float[Array, "*time"]:
        """Return the spring stress sigma f + eta V [Pa].

        Args:
            ln_speed: ln V [ln m/s].
            ln_state: ln theta [ln s].

        Returns:
            The stress that the spring holds in this state.
        """
        friction = self.sigma * self.friction().coefficient(ln_speed, ln_state)
        return friction + self.eta * jnp.exp(ln_speed)

    def steady_stress(self, ln_speed: Float[Array, "*time"]) -> Float[Array, "*time"]:
        """Return the spring stress [Pa] of steady sliding at ln V [ln m/s]."""
        return self.stress(ln_speed, self.friction().steady_state(ln_speed))

    def steady_state(self) -> Float[Array, " state"]:
        """Return (ln V, ln theta) of steady creep with the plate."""
        ln_speed = jnp.log(self.Vpl)
        return jnp.stack([ln_speed, self.friction().steady_state(ln_speed)])

    def critical_stiffness(self) -> Scalar:
        """Return the stiffness below which steady creep is unstable [Pa/m].

        k_c = (sigma (b S' - a) - eta Vpl) / Dc, where S' = 1, or q / (1 + q) with
        q = Vc / Vpl under the cut-off law. Negative where creep is always stable.
        """
        one = jnp.ones_like(self.Vpl)
        weakening = self.b * self.law.sensitivity(one, jnp.log(self.Vpl)) - self.a
        return (self.sigma * weakening - self.eta * self.Vpl) / self.Dc

    def rates(self, state: Float[Array, " state"]) -> Float[Array, " state"]:
        """Return d(ln V, ln theta)/dt [1/s]."""
        flow = self.flow()
        x, y, _ = flow.scaled(state)
        dx, dy, _ = flow.rates(x, y)
        return jnp.stack([dx, dy]) * flow.second()

    def simulate(
        self,
        times: Numbers,
        initial: Numbers | None = None,
        *,
        rtol: float = 1e-10,
    ) -> SliderRun:
        """Return the motion at given times.

        Args:
            times: When [s], increasing.
            initial: (ln V, ln theta) at the first of `times`; None for steady creep
                disturbed to V = e Vpl.
            rtol: Relative and absolute tolerance of ln V and ln theta, per step.

        Returns:
            Speed, state, stress and slip at `times`.

        Raises:
            InputError: `times` are too few or do not increase.
        """
        moments = as_real("times", times, (None,))
        if moments.shape[0] < 2:
            raise InputError(
                f"`times` must hold two times or more [s]; got {moments.shape[0]}. "
                "Pass the initial time first."
            )
        if is_concrete(moments) and not bool((jnp.diff(moments) > 0).all()):
            raise InputError(
                "`times` must increase [s]; got repeated or unsorted times. Sort them."
            )
        return _simulate(self, moments, self._start(initial), rtol)

    def events(
        self,
        count: int = 10,
        initial: Numbers | None = None,
        *,
        rtol: float = 1e-10,
    ) -> SlipEvents:
        """Follow the slider through its next slip events.

        Args:
            count: How many events.
            initial: (ln V, ln theta) at time zero; None as for `simulate`.
            rtol: Relative and absolute tolerance, per step.

        Returns:
            Times and stresses of the events; meaningless where the slider creeps.

        Raises:
            InputError: `count` is not positive.
        """
        if count < 1:
            raise InputError(f"`count` must be 1 or more; got {count}.")
        return _events(self, self._start(initial), count, rtol)

    def limit_cycle(
        self,
        rtol: float = 1e-10,
        threshold: ScalarLike = 1e-3,
        *,
        initial: Numbers | None = None,
        max_cycles: int = 1000,
    ) -> LimitCycle:
        """Return the cycle that the slider settles to.

        Args:
            rtol: Relative and absolute tolerance, per step. The recurrence is good to
                about ten times this.
            threshold: Slip rate above which an event counts as such [m/s]: 1e-3 for
                earthquakes, 1e-8 for slow slip.
            initial: (ln V, ln theta) to spin up from; None as for `simulate`.
            max_cycles: Give up after so many cycles of spin-up.

        Returns:
            Recurrence, peak, drops, slip and duration; `outcome` tells whether there
            is a cycle.

        Raises:
            InputError: `threshold` is not above the plate's speed.
        """
        floor = positive("threshold", threshold, "m/s")
        if (
            is_concrete(floor)
            and is_concrete(self.Vpl)
            and bool(jnp.any(floor <= self.Vpl))
        ):
            raise InputError(
                f"`threshold` must exceed the plate speed {float(self.Vpl)!r} [m/s]; "
                f"got {float(floor)!r}. Pass for example 10 * Vpl."
            )
        return _limit_cycle(self, self._start(initial), floor, rtol, max_cycles)

    def flow(self) -> SliderFlow:
        """Return the motion in scaled variables."""
        return SliderFlow(
            a=self.a,
            b=self.b,
            stiffness=self.k * self.Dc / self.sigma,
            damping=self.eta * self.Vpl / self.sigma,
            base=jnp.log(self.Vpl / (2.0 * self.V0)) + self.f0 / self.a,
            ln_unit=jnp.log(self.Vpl),
            ln_reference=jnp.log(self.V0),
            Dc=self.Dc,
            sigma=self.sigma,
            law=self.law,
        )

    def _start(self, initial: Numbers | None) -> Float[Array, " state"]:
        if initial is None:
            return self.steady_state() + jnp.asarray([1.0, 0.0])
        return as_real("initial", initial, (2,))


@eqx.filter_jit
def _simulate(
    slider: SpringSlider,
    times: Float[Array, " time"],
    start: Float[Array, " state"],
    rtol: ScalarLike,
) -> SliderRun:
    return simulate(slider.flow(), times, start, rtol)


@eqx.filter_jit
def _events(
    slider: SpringSlider, start: Float[Array, " state"], count: int, rtol: ScalarLike
) -> SlipEvents:
    return slip_events(slider.flow(), start, count, rtol)


@eqx.filter_jit
def _limit_cycle(
    slider: SpringSlider,
    start: Float[Array, " state"],
    threshold: Scalar,
    rtol: ScalarLike,
    max_cycles: ScalarLike,
) -> LimitCycle:
    return limit_cycle(slider.flow(), start, threshold, rtol, max_cycles)
