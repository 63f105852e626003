"""Clocks given by a formula: scale, exponential, power, logarithm, sliding window."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar
from slipstate.memory.clock.lag import Dilation, Lag, Shift
from slipstate.memory.clock.protocol import (
    AbstractClock,
    is_traced,
    log_quotient,
    real,
)


def check_positive(name: str, value: Array, unit: str) -> None:
    """Raise unless a concrete scalar setting is positive."""
    if value.ndim:
        raise InputError(
            f"`{name}` must be one number; got shape {value.shape}. For one clock per "
            "channel pass a tuple of clocks to `LagMemory`."
        )
    # a traced setting passes: whoever learns it keeps it positive
    if not is_traced(value) and not float(value) > 0.0:
        raise InputError(f"`{name}` must be positive{unit}; got {float(value)}.")


class ScaleClock(AbstractClock):
    """All of the past since `origin`, uniformly: W(x) = x - origin.

    With `Legendre` this is HiPPO-LegS: r = t0 / t1, whatever the sampling.

    Attributes:
        start: The oldest time remembered.
    """

    start: Float[Array, ""] = eqx.field(converter=real, default=0.0)

    def lag(self, t0: Float[Array, "*#batch"], t1: Float[Array, "*#batch"]) -> Lag:
        """Return the dilation by (t0 - start) / (t1 - start)."""
        return Dilation(log_quotient(t0 - self.start, t1 - t0, t1 - self.start))

    def fraction(
        self, lag: Lag, t0: Float[Array, ""], t1: Float[Array, ""]
    ) -> Float[Array, "*node"]:
        """Return 1 - (1 - z) / (1 - r): time is linear in z."""
        return 1.0 - lag.new * (t1 - self.start) / _span(t0, t1)

    def origin(self) -> Scalar:
        """Return the start."""
        return self.start

    @property
    def invariant(self) -> bool:
        """A step means less the longer the past."""
        return False


class ExponentialClock(AbstractClock):
    """An exponentially fading past: W(x) = exp(x / tau). The step is time-invariant.

    With `Legendre` this is the LegS of S4, A = exp(-A_LegS dt / tau); with `Laguerre`
    the translated Laguerre memory.

    Attributes:
        tau: e-folding time of the weight.
    """

    tau: Float[Array, ""] = eqx.field(converter=real)

    def __check_init__(self):
        check_positive("tau", self.tau, ", in the unit of time")

    def lag(self, t0: Float[Array, "*#batch"], t1: Float[Array, "*#batch"]) -> Lag:
        """Return the dilation by exp(-(t1 - t0) / tau)."""
        return Dilation(-(t1 - t0) / self.tau)

    def fraction(
        self, lag: Lag, t0: Float[Array, ""], t1: Float[Array, ""]
    ) -> Float[Array, "*node"]:
        """Return 1 + tau ln z / (t1 - t0): time is linear in ln z."""
        assert isinstance(lag, Dilation)
        return 1.0 + self.tau * lag.log_ratio / _span(t0, t1)

    def origin(self) -> Scalar:
        """Return -inf."""
        return jnp.full_like(self.tau, -jnp.inf)

    @property
    def invariant(self) -> bool:
        """Yes."""
        return True


class PowerClock(AbstractClock):
    """W(x) = (x - start)^power: above 1 favours the recent past, below 1 the old.

    Attributes:
        power: The exponent g, positive.
        start: The oldest time remembered.
    """

    power: Float[Array, ""] = eqx.field(converter=real)
    start: Float[Array, ""] = eqx.field(converter=real, default=0.0)

    def __check_init__(self):
        check_positive("power", self.power, "")

    def lag(self, t0: Float[Array, "*#batch"], t1: Float[Array, "*#batch"]) -> Lag:
        """Return the dilation by (t0 / t1)^g."""
        plain = log_quotient(t0 - self.start, t1 - t0, t1 - self.start)
        # 0 * inf in the derivative with respect to the power must not spread
        begun = jnp.isfinite(plain)
        scaled = self.power * jnp.where(begun, plain, 0.0)
        return Dilation(jnp.where(begun, scaled, -jnp.inf))

    def fraction(
        self, lag: Lag, t0: Float[Array, ""], t1: Float[Array, ""]
    ) -> Float[Array, "*node"]:
        """Return 1 - (1 - z^{1/g}) / (1 - t0/t1)."""
        assert isinstance(lag, Dilation)
        gained = -jnp.expm1(lag.log_ratio / self.power)
        return 1.0 - gained * (t1 - self.start) / _span(t0, t1)

    def origin(self) -> Scalar:
        """Return the start."""
        return self.start

    @property
    def invariant(self) -> bool:
        """A step means less the longer the past."""
        return False


class LogClock(AbstractClock):
    """W(x) = ln(1 + (x - start) / knee): stretches the early past, flattens the recent.

    Attributes:
        knee: Time after which the logarithm bends over.
        start: The oldest time remembered.
    """

    knee: Float[Array, ""] = eqx.field(converter=real)
    start: Float[Array, ""] = eqx.field(converter=real, default=0.0)

    def __check_init__(self):
        check_positive("knee", self.knee, ", in the unit of time")

    def lag(self, t0: Float[Array, "*#batch"], t1: Float[Array, "*#batch"]) -> Lag:
        """Return the dilation by W(t0) / W(t1)."""
        # W(t1) - W(t0) = ln(1 + (t1-t0) / (knee + t0)), without cancellation
        gained = jnp.log1p((t1 - t0) / (self.knee + t0 - self.start))
        return Dilation(log_quotient(self._warp(t0), gained, self._warp(t1)))

    def fraction(
        self, lag: Lag, t0: Float[Array, ""], t1: Float[Array, ""]
    ) -> Float[Array, "*node"]:
        """Return 1 - (t1 - x) / (t1 - t0), x = start + knee expm1(z W(t1))."""
        age = -jnp.expm1(-lag.new * self._warp(t1)) * (self.knee + t1 - self.start)
        return 1.0 - age / _span(t0, t1)

    def origin(self) -> Scalar:
        """Return the start."""
        return self.start

    @property
    def invariant(self) -> bool:
        """A step means less the longer the past."""
        return False

    def _warp(self, t: Array) -> Array:
        return jnp.log1p((t - self.start) / self.knee)


class WindowClock(AbstractClock):
    """The last `theta` of the past, uniformly; what is older falls out.

    With `Legendre` the generator is that of HiPPO-LegT and of the LMU.

    Attributes:
        theta: Length of the window.
    """

    theta: Float[Array, ""] = eqx.field(converter=real)

    def __check_init__(self):
        check_positive("theta", self.theta, ", in the unit of time")

    def lag(self, t0: Float[Array, "*#batch"], t1: Float[Array, "*#batch"]) -> Lag:
        """Return the shift by (t1 - t0) / theta."""
        return Shift((t1 - t0) / self.theta)

    def fraction(
        self, lag: Lag, t0: Float[Array, ""], t1: Float[Array, ""]
    ) -> Float[Array, "*node"]:
        """Return 1 - d theta / (t1 - t0)."""
        return 1.0 - lag.new * self.theta / _span(t0, t1)

    def origin(self) -> Scalar:
        """Return -inf."""
        return jnp.full_like(self.theta, -jnp.inf)

    @property
    def invariant(self) -> bool:
        """Yes."""
        return True


def _span(t0: Array, t1: Array) -> Array:
    """Return t1 - t0, or 1 for an empty cell, whose nodes have no weight anyway."""
    return jnp.where(t1 > t0, t1 - t0, 1.0)
