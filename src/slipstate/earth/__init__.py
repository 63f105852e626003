"""The solid Earth: friction, faults, ground motion, and what is seen of them."""

from slipstate.earth.chaos import DoubleWell, Lorenz63, Lorenz96
from slipstate.earth.cycle import CycleOutcome, LimitCycle, SlipEvents
from slipstate.earth.fault_attributes import fault_attributes, fault_slider
from slipstate.earth.fault_record import fault_from_record
from slipstate.earth.friction import (
    AbstractStateLaw,
    AgeingLaw,
    CutoffLaw,
    RateStateFriction,
    SlipLaw,
)
from slipstate.earth.front import (
    KuramotoSivashinsky,
)
from slipstate.earth.motion import SliderRun
from slipstate.earth.observe import FaultObservation
from slipstate.earth.slider import SpringSlider
from slipstate.earth.transition import SliderTransition
from slipstate.earth.twin import (
    FaultTwin,
    build_twin,
    cycle_states,
    slow_slip_slider,
    spread_phases,
    with_ensemble,
)

__all__ = [
    "AbstractStateLaw",
    "AgeingLaw",
    "CutoffLaw",
    "CycleOutcome",
    "DoubleWell",
    "FaultObservation",
    "FaultTwin",
    "KuramotoSivashinsky",
    "LimitCycle",
    "Lorenz63",
    "Lorenz96",
    "RateStateFriction",
    "SliderRun",
    "SliderTransition",
    "SlipEvents",
    "SlipLaw",
    "SpringSlider",
    "build_twin",
    "cycle_states",
    "fault_attributes",
    "fault_from_record",
    "fault_slider",
    "slow_slip_slider",
    "spread_phases",
    "with_ensemble",
]
