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
from slipstate.earth.slider import RADIATION_DAMPING, SpringSlider

__all__ = [
    "RADIATION_DAMPING",
    "AbstractStateLaw",
    "AgeingLaw",
    "CutoffLaw",
    "CycleOutcome",
    "LimitCycle",
    "RateStateFriction",
    "SliderRun",
    "SlipEvents",
    "SlipLaw",
    "SpringSlider",
]
