"""Following a record that says what fault it is of: see `fault_attributes`."""

import numpy as np
import xarray as xr

from slipstate.earth.fault_attributes import fault_slider
from slipstate.earth.observe import FAULT_COMPONENTS, FAULT_UNITS, FaultObservation
from slipstate.earth.transition import SliderTransition
from slipstate.earth.twin import DAY, FaultTwin, cycle_states, spread_phases
from slipstate.ground.errors import InputError
from slipstate.systems.protocol import StateSpaceModel
from slipstate.systems.samples import Ensemble

_FEWEST = 20


def fault_from_record(record: xr.Dataset, members: int, seed: int) -> FaultTwin:
    """Return the fault of a record with the model that is to follow it.

    Missing rows of an evenly spaced record are filled with missing values.

    Args:
        record: Record of kind "fault" with components "ln V", "tau" or both, spreads
            `sigma`, and the attributes of `fault_attributes`.
        members: Size of the first ensemble.
        seed: Seed of its phases.

    Returns:
        The evenly spaced record, the model (dt in days), the slider and its cycle.

    Raises:
        InputError: The record is too short, not evenly spaced, of other components or
            units, without spreads, or does not tell its fault; or the fault creeps.
    """
    slider = fault_slider(record.attrs)
    even = _evenly_spaced(record)
    components = tuple(str(c) for c in even["component"].values)
    units: dict[str, str] = dict(zip(FAULT_COMPONENTS, FAULT_UNITS))
    for name, unit in zip(components, even["component_units"].values):
        if units.get(name) != str(unit):
            wanted = " and ".join(f"{n} [{u}]" for n, u in units.items())
            raise InputError(
                f"a record of a fault must hold {wanted}, or one of them; got {name} "
                f"[{unit}]. Rename or convert the components."
            )
    spreads = [_spread(even, name) for name in components]
    known = dict(zip(components, spreads))
    observation = FaultObservation(
        slider, known.get("ln V", 1.0), known.get("tau", 1.0), components
    )
    cycle = slider.limit_cycle(threshold=10.0 * float(slider.Vpl))
    if not np.isfinite(float(cycle.recurrence)):
        raise InputError(
            "`fault_k` must leave the fault unstable; it creeps steadily. Lower it "
            f"below {float(slider.critical_stiffness()):.4g} Pa/m."
        )
    phases = spread_phases(members, np.random.default_rng(seed))
    first = Ensemble(cycle_states(slider, cycle, phases))
    model = StateSpaceModel(first, SliderTransition(slider, DAY), observation)
    return FaultTwin(even, model, slider, cycle)


def _evenly_spaced(record: xr.Dataset) -> xr.Dataset:
    """Return a record with a row, empty where nothing is known, at every step."""
    times = record["time"].values.astype("datetime64[ns]")
    if len(times) < _FEWEST:
        raise InputError(
            f"a record of a fault must hold {_FEWEST} times or more; got {len(times)}."
        )
    gaps = np.diff(times).astype(np.int64)
    step = int(gaps.min())
    if step <= 0 or np.any(gaps % step):
        odd = int(np.argmax(gaps % step if step > 0 else gaps <= 0))
        raise InputError(
            "a record of a fault must be evenly spaced, gaps aside; the steps of "
            f"{step / 8.64e13:.6g} days do not lead to {times[odd + 1]}. Average it "
            "to even steps."
        )
    if np.all(gaps == step):
        return record
    steps = int(gaps.sum()) // step + 1
    if steps > 20 * len(times):
        raise InputError(
            f"a record of a fault must not be mostly gaps; got {len(times)} rows over "
            f"{steps} steps of {step / 8.64e13:.6g} days. Average it to longer steps."
        )
    grid = times[0] + step * np.arange(steps).astype("timedelta64[ns]")
    even = record.reindex(time=grid)
    return even.assign(mask=even["mask"].fillna(value=False).astype(bool))


def _spread(record: xr.Dataset, name: str) -> float:
    """Return the usual spread of a component."""
    one = record["sigma"].sel(component=name).values
    known = one[np.isfinite(one) & (one > 0)]
    if known.size == 0:
        raise InputError(
            f"a record of a fault must say how uncertain {name} is; got no `sigma`. "
            "Add the standard deviation of the observations."
        )
    return float(np.median(known))
