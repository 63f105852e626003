"""The solid Earth: friction, faults, ground motion, and what is seen of them."""

from slipstate.earth.cycle import CycleOutcome, LimitCycle, SlipEvents
from slipstate.earth.friction import (
    AbstractStateLaw,
    AgeingLaw,
    CutoffLaw,
    RateStateFriction,
    SlipLaw,
)
from slipstate.earth.motion import SliderRun
from slipstate.earth.observe import (
    FAULT_COMPONENTS,
    FAULT_UNITS,
    FaultObservation,
)
from slipstate.earth.slider import RADIATION_DAMPING, SpringSlider
from slipstate.earth.transition import SliderTransition
from slipstate.earth.twin import (
    FAULT_STATES,
    FaultTwin,
    build_twin,
    cycle_states,
    phase_ensemble,
    slow_slip_slider,
)

__all__ = [
    "AbstractStateLaw",
    "AgeingLaw",
    "CutoffLaw",
    "CycleOutcome",
    "FAULT_COMPONENTS",
    "FAULT_STATES",
    "FAULT_UNITS",
    "FaultObservation",
    "FaultTwin",
    "LimitCycle",
    "RADIATION_DAMPING",
    "RateStateFriction",
    "SliderRun",
    "SliderTransition",
    "SlipEvents",
    "SlipLaw",
    "SpringSlider",
    "build_twin",
    "cycle_states",
    "phase_ensemble",
    "slow_slip_slider",
]
