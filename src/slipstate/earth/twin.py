"""The embedded twin: a slow-slip fault that is simulated, observed and then followed.

The truth is the limit cycle of a slider under the cut-off law, with a slow slip event
every 2.7 years; ln V and stress are observed every ten days, with noise. The model that
follows it knows the physics but not the phase: its first ensemble is spread over the
whole cycle.
"""

import datetime
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from slipstate.earth.cycle import LimitCycle
from slipstate.earth.fault_attributes import fault_attributes
from slipstate.earth.friction import CutoffLaw
from slipstate.earth.observe import FAULT_COMPONENTS, FAULT_UNITS, FaultObservation
from slipstate.earth.slider import SpringSlider
from slipstate.earth.transition import SliderTransition
from slipstate.ground.errors import InputError
from slipstate.records import Samples, Station, build_record, history_line
from slipstate.systems.protocol import StateSpaceModel
from slipstate.systems.samples import Ensemble

DAY = 86_400.0
"""[s]"""

FAULT_STATES = ("ln V", "ln theta")
"""The state of a fault: V in m/s, theta in s."""


@dataclass(frozen=True)
class FaultTwin:
    """A simulated fault, its record, and the model that follows it.

    Attributes:
        record: Record of kind "fault" with `truth` (time, state).
        model: State-space model of the fault; `dt` in days.
        slider: The fault.
        cycle: Its limit cycle.
    """

    record: xr.Dataset
    model: StateSpaceModel
    slider: SpringSlider
    cycle: LimitCycle


def slow_slip_slider() -> SpringSlider:
    """Return a slider with a slow slip event of 6 cm every 2.7 years.

    Weakens below 1e-7 m/s and strengthens above; half the critical stiffness.
    """
    return SpringSlider(
        a=0.010, b=0.015, Dc=4e-3, sigma=2e6, k=1.25e6, Vpl=1e-9, law=CutoffLaw(1e-7)
    )


def cycle_states(
    slider: SpringSlider, cycle: LimitCycle, phases: np.ndarray
) -> Float[Array, "ens state"]:
    """Return states on a limit cycle.

    Args:
        slider: The fault.
        cycle: Its limit cycle.
        phases: Times since an onset over the recurrence; whole parts do not matter.

    Returns:
        (ln V, ln theta) at each phase.
    """
    # 0 and 1 too: a run starts at the onset and lasts a while
    moments, place = np.unique(
        np.concatenate([np.mod(phases, 1.0), [0.0, 1.0]]), return_inverse=True
    )
    run = slider.simulate(moments * float(cycle.recurrence), cycle.onset)
    states = jnp.stack([run.ln_speed, run.ln_state], axis=1)
    return states[place[: len(phases)]]


def spread_phases(members: int, generator: np.random.Generator) -> np.ndarray:
    """Return one phase in each of `members` equal parts of a cycle, in random order."""
    inside = generator.uniform(size=members)
    return generator.permutation((np.arange(members) + inside) / members)


def build_twin(
    *,
    members: int = 50,
    years: float = 15.0,
    every: float = 10.0,
    sd_ln_speed: float = 0.5,
    sd_stress: float = 5e3,
    slider: SpringSlider | None = None,
    seed: int = 20_100_405,
) -> FaultTwin:
    """Simulate a fault, observe it, and build the model that is to follow it.

    Args:
        members: Size of the first ensemble.
        years: Length of the record [yr].
        every: Days between observations.
        sd_ln_speed: Standard deviation of observed ln V [-].
        sd_stress: Standard deviation of observed tau [Pa].
        slider: The fault; None for `slow_slip_slider()`.
        seed: Seed of phase, noise and ensemble.

    Returns:
        Record with truth, model, slider and its cycle.

    Raises:
        InputError: The slider has no limit cycle, or the record would be too short.
    """
    fault = slow_slip_slider() if slider is None else slider
    cycle = fault.limit_cycle(threshold=10.0 * float(fault.Vpl))
    if not np.isfinite(float(cycle.recurrence)):
        raise InputError(
            "`slider` must have a limit cycle; it creeps steadily. Lower `k` below "
            f"{float(fault.critical_stiffness()):.4g} Pa/m."
        )
    samples = int(years * 365.25 / every) + 1
    if not (every > 0.0 and samples >= 2):
        raise InputError(
            f"`years` must hold two samples or more at `every` = {every} days; got "
            f"{years}. Pass for example years=15, every=10."
        )
    generator = np.random.default_rng(seed)
    days = every * np.arange(samples)
    passing = generator.uniform() + days * DAY / float(cycle.recurrence)
    phases = np.concatenate([passing, spread_phases(members, generator)])
    states = cycle_states(fault, cycle, phases)
    truth, first = states[:samples], states[samples:]
    observation = FaultObservation(fault, sd_ln_speed, sd_stress)
    clean = jax.vmap(lambda x: observation.predict(x, None))(truth)
    spread = np.asarray([sd_ln_speed, sd_stress])
    observed = np.asarray(clean) + spread * generator.standard_normal(clean.shape)
    model = StateSpaceModel(Ensemble(first), SliderTransition(fault, DAY), observation)
    record = _record(fault, observed, np.asarray(truth), days, spread, seed)
    return FaultTwin(record, model, fault, cycle)


def with_ensemble(twin: FaultTwin, members: int, seed: int) -> StateSpaceModel:
    """Return the model of a twin with a first ensemble of another size.

    Args:
        twin: The twin.
        members: Size of the ensemble.
        seed: Seed of its phases; not used where the size is the same.

    Returns:
        The model; the twin's own where its ensemble has that size.
    """
    initial = twin.model.initial
    if isinstance(initial, Ensemble) and len(initial.members) == members:
        return twin.model
    phases = spread_phases(members, np.random.default_rng([seed, members]))
    states = cycle_states(twin.slider, twin.cycle, phases)
    return StateSpaceModel(
        Ensemble(states), twin.model.transition, twin.model.observation
    )


def _record(
    fault: SpringSlider,
    observed: np.ndarray,
    truth: np.ndarray,
    days: np.ndarray,
    spread: np.ndarray,
    seed: int,
) -> xr.Dataset:
    # nanoseconds, so that any `every` is kept; the origin is a label without meaning
    origin = np.datetime64(datetime.date(2000, 1, 1), "ns")
    time = origin + np.round(days * DAY * 1e9).astype("timedelta64[ns]")
    record = build_record(
        Samples(
            time=time,
            value=observed,
            sigma=np.broadcast_to(spread, observed.shape).copy(),
            components=FAULT_COMPONENTS,
            units=FAULT_UNITS,
        ),
        Station("fault"),
        kind="fault",
        title="Simulated slow-slip fault",
        history=history_line(
            f"simulated by slipstate: spring-slider on its limit cycle, observed with "
            f"noise, seed {seed}"
        ),
        attributes={
            "source": "spring-slider with rate-and-state friction",
            **fault_attributes(fault),
        },
    )
    record["truth"] = (
        ("time", "state"),
        truth,
        {"units": "1", "long_name": "true ln V (V in m/s) and ln theta (theta in s)"},
    )
    return record.assign_coords(state=("state", list(FAULT_STATES)))
