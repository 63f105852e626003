"""Schroedinger bridges: from a forecast to a posterior by the least change of law."""

from slipstate.assimilate.bridge.dynamic import BridgedWindow, bridge_window
from slipstate.assimilate.bridge.entropic import (
    AbstractEntropicFilter,
    EntropicInfo,
    SinkhornTransform,
)
from slipstate.assimilate.bridge.filter import BridgeFilter, BridgeInfo
from slipstate.assimilate.bridge.flow import FlowFilter
from slipstate.assimilate.bridge.foellmer import FoellmerFilter
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
from slipstate.assimilate.bridge.mixture import MixtureBridge
from slipstate.assimilate.bridge.neighbours import (
    Neighbours,
    near_observations,
    ring_neighbours,
)
from slipstate.assimilate.bridge.score import ScoreFilter
from slipstate.assimilate.bridge.switch import SwitchCost
from slipstate.assimilate.bridge.transport import Coupling, log_sinkhorn, sinkhorn

__all__ = [
    "AbstractEntropicFilter",
    "AbstractLinearisation",
    "AbstractRule",
    "BridgeFilter",
    "BridgeInfo",
    "BridgeState",
    "BridgedWindow",
    "Coupling",
    "EntropicInfo",
    "FlowFilter",
    "FoellmerFilter",
    "GaussianBridge",
    "Iterated",
    "Jacobian",
    "LocalBridgeFilter",
    "LocalBridgeInfo",
    "MixtureBridge",
    "Neighbours",
    "ScoreFilter",
    "SigmaPoints",
    "SinkhornTransform",
    "SwitchCost",
    "bridge_window",
    "log_sinkhorn",
    "near_observations",
    "ring_neighbours",
    "sinkhorn",
]
