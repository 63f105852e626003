"""What is seen of a fault: its slip rate, its stress, or both."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.earth.friction import positive
from slipstate.earth.slider import SpringSlider
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.protocol import AbstractObservation, Input

FAULT_COMPONENTS = ("ln V", "tau")
"""What a fault record may hold: ln of the slip rate in m/s, and spring stress in Pa."""

FAULT_UNITS = ("1", "Pa")


class FaultObservation(AbstractObservation):
    """ln V and spring stress tau of a slider, each with its own noise.

    The state is (ln V, ln theta); tau = sigma f(V, theta) + eta V is a function of it.

    Attributes:
        slider: The fault.
        sd_ln_speed: Standard deviation of ln V [-].
        sd_stress: Standard deviation of tau [Pa].
        components: Which are observed, in this order: "ln V", "tau".
        units: Their units.
    """

    slider: SpringSlider
    sd_ln_speed: Scalar
    sd_stress: Scalar
    components: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        slider: SpringSlider,
        sd_ln_speed: ScalarLike = 0.5,
        sd_stress: ScalarLike = 5e3,
        components: tuple[str, ...] = FAULT_COMPONENTS,
    ) -> None:
        """Check and keep what is observed.

        Args:
            slider: The fault.
            sd_ln_speed: Standard deviation of ln V [-].
            sd_stress: Standard deviation of tau [Pa].
            components: Which are observed: "ln V", "tau" or both.

        Raises:
            InputError: A component is unknown or repeated, or a spread not positive.
        """
        unknown = [name for name in components if name not in FAULT_COMPONENTS]
        if not components or unknown or len(set(components)) < len(components):
            raise InputError(
                f"`components` must be of {FAULT_COMPONENTS}, each once; got "
                f"{components}. Pass for example ('tau',)."
            )
        self.slider = slider
        self.sd_ln_speed = positive("sd_ln_speed", sd_ln_speed, "-")
        self.sd_stress = positive("sd_stress", sd_stress, "Pa")
        self.components = components
        self.units = tuple(FAULT_UNITS[i] for i in self._places())

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return ln V and tau of a state (ln V, ln theta)."""
        del u
        both = (x[0], self.slider.stress(x[0], x[1]))
        return jnp.stack([both[i] for i in self._places()])

    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return the diagonal of standard deviations."""
        both = (self.sd_ln_speed, self.sd_stress)
        return jnp.diag(jnp.stack([both[i] for i in self._places()]))

    def _places(self) -> tuple[int, ...]:
        return tuple(FAULT_COMPONENTS.index(name) for name in self.components)
