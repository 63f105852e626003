"""Schroedinger bridges: from a forecast to a posterior by the least change of law."""

from slipstate.assimilate.bridge.dynamic import BridgedWindow, bridge_window
from slipstate.assimilate.bridge.filter import BridgeFilter, BridgeInfo
from slipstate.assimilate.bridge.gaussian import GaussianBridge
from slipstate.assimilate.bridge.linearise import (
    AbstractLinearisation,
    AbstractRule,
    Iterated,
    Jacobian,
    SigmaPoints,
)
from slipstate.assimilate.bridge.local import LocalBridgeFilter, LocalBridgeInfo
from slipstate.assimilate.bridge.members import BridgeState
from slipstate.assimilate.bridge.neighbours import (
    Neighbours,
    near_observations,
    ring_neighbours,
)
from slipstate.assimilate.bridge.switch import SwitchCost
from slipstate.assimilate.bridge.transport import Coupling, log_sinkhorn, sinkhorn

__all__ = [
    "AbstractLinearisation",
    "AbstractRule",
    "BridgeFilter",
    "BridgeInfo",
    "BridgeState",
    "BridgedWindow",
    "Coupling",
    "GaussianBridge",
    "Iterated",
    "Jacobian",
    "LocalBridgeFilter",
    "LocalBridgeInfo",
    "Neighbours",
    "SigmaPoints",
    "SwitchCost",
    "bridge_window",
    "log_sinkhorn",
    "near_observations",
    "ring_neighbours",
    "sinkhorn",
]
