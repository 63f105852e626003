"""Regularised rate-and-state friction and its state laws.

    f(V, theta) = a asinh( V / (2 V0) exp( (f0 + b S(theta)) / a ) )

S(theta) is ln(V0 theta / Dc), or ln(1 + Vc theta / Dc) for the cut-off law. For V > 0
this equals f0 + a ln(V / V0) + b S to about exp(-2 f / a), and it stays finite where V
passes through zero. Speeds and states travel as logarithms, because V spans 1e-16 to
1 m/s; and exp(f0 / a) is never formed: it would be e^60.

Each state law is one small class. It sees the fault in its own units: x = ln(V / U) and
y = ln(theta U / Dc) for any speed U, in which

    ageing   dy/dT = e^-y - e^x          slip   dy/dT = -e^x (x + y)

look the same whatever U is; T = t U / Dc.

References:
    Dieterich (1979), doi:10.1029/JB084iB05p02161; Ruina (1983),
    doi:10.1029/JB088iB12p10359; Shibazaki and Iio (2003), doi:10.1029/2003GL017047.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import as_real, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike


class AbstractStateLaw(eqx.Module):
    """How the state variable evolves, and how it strengthens the fault.

    The arguments `speed` = e^x and `healing` = e^-y come ready made because a caller
    needs them too, and exponentials are what a step costs.
    """

    @abstractmethod
    def drift(
        self,
        speed: Float[Array, "*cell"],
        healing: Float[Array, "*cell"],
        excess: Float[Array, "*cell"],
    ) -> Float[Array, "*cell"]:
        """Return dy/dT, given e^x, e^-y and x + y = ln(V theta / Dc)."""

    @abstractmethod
    def pace(
        self,
        speed: Float[Array, "*cell"],
        healing: Float[Array, "*cell"],
        excess: Float[Array, "*cell"],
    ) -> Float[Array, "*cell"]:
        """Return a smooth positive bound of |dy/dT|: the rate at which things happen.

        A clock that runs at this pace makes both healing and rupture straight lines.
        """

    @abstractmethod
    def strength(
        self, y: Float[Array, "*cell"], ln_unit: Scalar, ln_reference: Scalar
    ) -> Float[Array, "*cell"]:
        """Return S(theta), given y, ln U and ln V0 [ln m/s]."""

    @abstractmethod
    def sensitivity(
        self, healing: Float[Array, "*cell"], ln_unit: Scalar
    ) -> Float[Array, "*cell"]:
        """Return dS/dy, given e^-y and ln U [ln m/s]."""


class AgeingLaw(AbstractStateLaw):
    """The ageing (Dieterich) law d theta/dt = 1 - V theta / Dc: heals at rest.

    With an enhanced damping `eta` of some 1e11 Pa s/m a slider with this law slips
    slowly: the viscous form of slow slip.
    """

    def drift(
        self,
        speed: Float[Array, "*cell"],
        healing: Float[Array, "*cell"],
        excess: Float[Array, "*cell"],
    ) -> Float[Array, "*cell"]:
        """Return e^-y - e^x."""
        del excess
        return healing - speed

    def pace(
        self,
        speed: Float[Array, "*cell"],
        healing: Float[Array, "*cell"],
        excess: Float[Array, "*cell"],
    ) -> Float[Array, "*cell"]:
        """Return e^-y + e^x."""
        del excess
        return healing + speed

    def strength(
        self, y: Float[Array, "*cell"], ln_unit: Scalar, ln_reference: Scalar
    ) -> Float[Array, "*cell"]:
        """Return ln(V0 theta / Dc)."""
        return y + (ln_reference - ln_unit)

    def sensitivity(
        self, healing: Float[Array, "*cell"], ln_unit: Scalar
    ) -> Float[Array, "*cell"]:
        """Return 1."""
        del ln_unit
        return jnp.ones_like(healing)


class SlipLaw(AbstractStateLaw):
    """The slip (Ruina) law, under which a fault heals only as it slips.

    d theta/dt = -(V theta / Dc) ln(V theta / Dc).
    """

    def drift(
        self,
        speed: Float[Array, "*cell"],
        healing: Float[Array, "*cell"],
        excess: Float[Array, "*cell"],
    ) -> Float[Array, "*cell"]:
        """Return -e^x (x + y)."""
        del healing
        return -speed * excess

    def pace(
        self,
        speed: Float[Array, "*cell"],
        healing: Float[Array, "*cell"],
        excess: Float[Array, "*cell"],
    ) -> Float[Array, "*cell"]:
        """Return e^x sqrt(1 + (x + y)^2)."""
        del healing
        return speed * jnp.sqrt(1.0 + excess * excess)

    def strength(
        self, y: Float[Array, "*cell"], ln_unit: Scalar, ln_reference: Scalar
    ) -> Float[Array, "*cell"]:
        """Return ln(V0 theta / Dc)."""
        return y + (ln_reference - ln_unit)

    def sensitivity(
        self, healing: Float[Array, "*cell"], ln_unit: Scalar
    ) -> Float[Array, "*cell"]:
        """Return 1."""
        del ln_unit
        return jnp.ones_like(healing)


class CutoffLaw(AbstractStateLaw):
    """The ageing law with a cut-off: weakens below Vc and strengthens above it.

    S = ln(1 + Vc theta / Dc), so the steady friction falls with slip rate below
    Vc (b - a) / a and rises above it: an instability ends as slow slip.

    Attributes:
        Vc: Cut-off speed [m/s].
    """

    Vc: Scalar

    def __init__(self, Vc: ScalarLike) -> None:
        """Check and keep the cut-off speed.

        Args:
            Vc: Cut-off speed [m/s].

        Raises:
            InputError: It is not positive.
        """
        self.Vc = positive("Vc", Vc, "m/s")

    def drift(
        self,
        speed: Float[Array, "*cell"],
        healing: Float[Array, "*cell"],
        excess: Float[Array, "*cell"],
    ) -> Float[Array, "*cell"]:
        """Return e^-y - e^x."""
        del excess
        return healing - speed

    def pace(
        self,
        speed: Float[Array, "*cell"],
        healing: Float[Array, "*cell"],
        excess: Float[Array, "*cell"],
    ) -> Float[Array, "*cell"]:
        """Return e^-y + e^x."""
        del excess
        return healing + speed

    def strength(
        self, y: Float[Array, "*cell"], ln_unit: Scalar, ln_reference: Scalar
    ) -> Float[Array, "*cell"]:
        """Return ln(1 + Vc theta / Dc)."""
        del ln_reference
        return jax.nn.softplus(y + (jnp.log(self.Vc) - ln_unit))

    def sensitivity(
        self, healing: Float[Array, "*cell"], ln_unit: Scalar
    ) -> Float[Array, "*cell"]:
        """Return q / (1 + q) with q = Vc theta / Dc."""
        return 1.0 / (1.0 + healing * (jnp.exp(ln_unit) / self.Vc))


class RateStateFriction(eqx.Module):
    """The friction coefficient of a point, as a function of (ln V, ln theta).

    Attributes:
        a: Direct effect [-].
        b: Evolution effect [-].
        Dc: Slip distance over which the state evolves [m].
        f0: Steady friction at V0 [-].
        V0: Reference speed [m/s].
        law: How the state evolves.
    """

    a: Scalar
    b: Scalar
    Dc: Scalar
    f0: Scalar
    V0: Scalar
    law: AbstractStateLaw

    def coefficient(
        self, ln_speed: Float[Array, "*cell"], ln_state: Float[Array, "*cell"]
    ) -> Float[Array, "*cell"]:
        """Return f(V, theta).

        Args:
            ln_speed: ln V [ln m/s].
            ln_state: ln theta [ln s].

        Returns:
            The friction coefficient [-].
        """
        ln_reference = jnp.log(self.V0)
        y = ln_state + (ln_reference - jnp.log(self.Dc))
        strength = self.law.strength(y, ln_reference, ln_reference)
        exponent = (self.f0 + self.b * strength) / self.a
        return self.a * asinh_exp(ln_speed - ln_reference - jnp.log(2.0) + exponent)

    def steady_state(self, ln_speed: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return ln theta [ln s] of steady sliding, theta = Dc / V."""
        return jnp.log(self.Dc) - ln_speed

    def steady_coefficient(
        self, ln_speed: Float[Array, "*cell"]
    ) -> Float[Array, "*cell"]:
        """Return the friction coefficient [-] of steady sliding at ln V [ln m/s]."""
        return self.coefficient(ln_speed, self.steady_state(ln_speed))

    def state_rate(
        self, ln_speed: Float[Array, "*cell"], ln_state: Float[Array, "*cell"]
    ) -> Float[Array, "*cell"]:
        """Return d ln theta / dt [1/s] at (ln V, ln theta)."""
        # with U = 1 m/s: x = ln V and y = ln(theta / Dc), T = t / Dc
        y = ln_state - jnp.log(self.Dc)
        drift = self.law.drift(jnp.exp(ln_speed), jnp.exp(-y), ln_speed + y)
        return drift / self.Dc


def asinh_exp(z: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
    """Return asinh(e^z) for any z, without ever forming e^z.

    asinh(e^z) = ln(e^z + sqrt(1 + e^2z)) = logaddexp(z, softplus(2z) / 2).
    """
    return jnp.logaddexp(z, 0.5 * jax.nn.softplus(2.0 * z))


def positive(name: str, value: ScalarLike, unit: str) -> Scalar:
    """Return `value` as a scalar array and raise unless it is positive.

    Args:
        name: The argument's name, for the message.
        value: A number.
        unit: Its unit, for the message.

    Returns:
        The number on the device.

    Raises:
        InputError: It is not one positive finite number.
    """
    number = as_real(name, value, ())
    number = jnp.asarray(number, number.dtype)  # as strong as an array: one trace
    if is_concrete(number) and not 0.0 < float(number) < float("inf"):
        raise InputError(
            f"`{name}` must be positive and finite [{unit}]; got {float(number)!r}. "
            "Pass SI units."
        )
    return number
