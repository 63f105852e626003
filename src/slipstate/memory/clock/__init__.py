"""Clocks: how time becomes the canonical coordinate of a memory."""

from slipstate.memory.clock.fixed import (
    ExponentialClock,
    LogClock,
    PowerClock,
    ScaleClock,
    WindowClock,
)
from slipstate.memory.clock.gated import GatedClock
from slipstate.memory.clock.lag import Dilation, Lag, Shift
from slipstate.memory.clock.monotone import MonotoneClock, RateWarp
from slipstate.memory.clock.protocol import AbstractClock

__all__ = [
    "AbstractClock",
    "Dilation",
    "ExponentialClock",
    "GatedClock",
    "Lag",
    "LogClock",
    "MonotoneClock",
    "PowerClock",
    "RateWarp",
    "ScaleClock",
    "Shift",
    "WindowClock",
]
