"""A fault that is simulated, observed and then followed by a model that may be wrong.

Twin A is a stick-slip fault with an earthquake every 44 years, twin C one with a slow
slip event every 2.7 years. The model that follows starts without knowing the phase of
the cycle. Its friction is right, biased in b - a, or of another law than the truth.

References:
    Banerjee, van Dinther & Vossepoel (2023), Nonlin. Proc. Geophys. 30 (the biases).
    Rice (1993), doi:10.1029/93JB00191.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate.cases.case import Case
from slipstate.earth.friction import SlipLaw
from slipstate.earth.observe import FaultObservation
from slipstate.earth.slider import SpringSlider
from slipstate.earth.transition import SliderTransition
from slipstate.earth.twin import (
    DAY,
    cycle_states,
    slow_slip_slider,
    spread_phases,
)
from slipstate.ground.errors import InputError
from slipstate.ground.params import Interval
from slipstate.systems.augmented import Unknown, augment
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import StateSpaceModel
from slipstate.systems.samples import Ensemble

RATIO = Interval(0.5, 1.5)
"""Where the ratio of b - a to the truth may lie while it is learnt."""

_WALK = 1e-3  # of its unconstrained number, per square root of a day


class Faults(eqx.Module):
    """Faults that differ in b - a.

    Attributes:
        fault: The fault of ratio 1.
        initial: What is believed about its first state.
        sd_stress: Standard deviation of observed stress [Pa].
        diffusion: Standard deviation of the model noise per square root of a day.
        components: What is observed.
    """

    fault: SpringSlider
    initial: AbstractBelief
    sd_stress: float
    diffusion: Float[np.ndarray, " state"] | Float[Array, " state"]
    components: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, ratio: Float[Array, " param"]) -> StateSpaceModel:
        """Return the model of a fault whose b - a is `ratio` times that of `fault`."""
        b = self.fault.a + ratio[0] * (self.fault.b - self.fault.a)
        slider = eqx.tree_at(lambda s: s.b, self.fault, b)
        return StateSpaceModel(
            self.initial,
            SliderTransition(slider, DAY, self.diffusion),
            FaultObservation(slider, 0.5, self.sd_stress, self.components),
        )


def slider_twin(
    *,
    twin: str = "C",
    bias: float = 0.0,
    slip_law: bool = False,
    members: int = 50,
    model_noise: float = 0.0,
    components: tuple[str, ...] = ("ln V", "tau"),
    joint: float = 0.0,
    seed: int = 20_100_405,
) -> Case:
    """Return a fault with a model that follows it.

    Args:
        twin: "A" for stick-slip, observed every 100 days; "C" for slow slip, observed
            every 10.
        bias: Relative error of b - a in the model that follows, such as -0.14 or 0.03.
        slip_law: Whether the truth obeys the slip law while the model keeps its own.
        members: Size of the first ensemble, spread over the whole cycle.
        model_noise: Variance that each cycle adds to ln V and ln theta.
        components: What is observed.
        joint: Relative spread of b - a in a prior around the biased value, where it is
            to be learnt with the state (see `slipstate.systems.augment`; the ratio to
            the true b - a, as `free_ratio` maps it, is then behind ln V and ln theta);
            0 where it is fixed.
        seed: Seed of the first ensemble.

    Returns:
        The case, without published scores.

    Raises:
        InputError: `twin` is unknown, or there is no limit cycle with this bias.
    """
    if twin not in ("A", "C"):
        raise InputError(f'`twin` must be "A" or "C"; got "{twin}". Pass "C".')
    stick_slip = SpringSlider(a=0.010, b=0.015, Dc=1e-2, sigma=50e6, k=5e6, Vpl=1e-9)
    fault = stick_slip if twin == "A" else slow_slip_slider()
    every, sd_stress = (100.0, 5e4) if twin == "A" else (10.0, 5e3)
    if not -1.0 < bias < 10.0:
        raise InputError(f"`bias` must exceed -1; got {bias}. Pass -0.14 or 0.03.")
    # b - a is biased through b: the direct effect is known from the laboratory
    biased = fault.a + (1.0 + bias) * (fault.b - fault.a)
    followed = eqx.tree_at(lambda s: s.b, fault, biased)
    true = eqx.tree_at(lambda s: s.law, fault, SlipLaw()) if slip_law else fault
    diffusion = np.full(2, np.sqrt(model_noise / every))
    generator = np.random.default_rng(seed)
    model, truth = (
        StateSpaceModel(
            _first(slider, members, generator, fault),
            SliderTransition(slider, DAY, diffusion),
            FaultObservation(slider, 0.5, sd_stress, components),
        )
        for slider in (followed, true)
    )
    if joint > 0.0:
        guess = 1.0 + bias
        slope = float(jax.grad(RATIO.inverse)(guess))
        unknown = Unknown("b - a", guess, joint * guess * slope, _WALK, RATIO)
        faults = Faults(fault, model.initial, sd_stress, diffusion, components)
        model = augment(faults, [unknown], key=jax.random.key(seed))
    name = f"slider_twin_{twin}" + ("_slip_law" if slip_law else "")
    return Case(name, model, truth=truth, interval=every, burn=40)


def _first(
    slider: SpringSlider,
    members: int,
    generator: np.random.Generator,
    fault: SpringSlider,
) -> Ensemble:
    """Return members spread over the limit cycle."""
    cycle = slider.limit_cycle(threshold=10.0 * float(fault.Vpl))
    if not np.isfinite(float(cycle.recurrence)):
        raise InputError(
            "`bias` must leave the fault unstable; it creeps steadily. Pass for "
            "example -0.14."
        )
    phases = spread_phases(members, generator)
    return Ensemble(jnp.asarray(cycle_states(slider, cycle, phases)))
