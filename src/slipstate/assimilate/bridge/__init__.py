"""Schroedinger bridges: from a forecast to a posterior by the least change of law."""

from slipstate.assimilate.bridge.filter import BridgeFilter, BridgeInfo
from slipstate.assimilate.bridge.gaussian import GaussianBridge
from slipstate.assimilate.bridge.linearise import (
    AbstractLinearisation,
    AbstractRule,
    Iterated,
    Jacobian,
    SigmaPoints,
)
from slipstate.assimilate.bridge.members import BridgeState
from slipstate.assimilate.bridge.switch import SwitchCost
from slipstate.assimilate.bridge.transport import Coupling, log_sinkhorn, sinkhorn

__all__ = [
    "AbstractLinearisation",
    "AbstractRule",
    "BridgeFilter",
    "BridgeInfo",
    "BridgeState",
    "Coupling",
    "GaussianBridge",
    "Iterated",
    "Jacobian",
    "SigmaPoints",
    "SwitchCost",
    "log_sinkhorn",
    "sinkhorn",
]
