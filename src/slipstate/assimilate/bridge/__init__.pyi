from .dynamic import BridgedWindow as BridgedWindow, bridge_window as bridge_window
from .entropic import (
    AbstractEntropicFilter as AbstractEntropicFilter,
    EntropicInfo as EntropicInfo,
    SinkhornTransform as SinkhornTransform,
)
from .filter import BridgeFilter as BridgeFilter, BridgeInfo as BridgeInfo
from .flow import FlowFilter as FlowFilter
from .foellmer import FoellmerFilter as FoellmerFilter
from .gaussian import GaussianBridge as GaussianBridge
from .linearise import (
    AbstractLinearisation as AbstractLinearisation,
    AbstractRule as AbstractRule,
    Iterated as Iterated,
    Jacobian as Jacobian,
    SigmaPoints as SigmaPoints,
)
from .local import (
    LocalBridgeFilter as LocalBridgeFilter,
    LocalBridgeInfo as LocalBridgeInfo,
)
from .members import BridgeState as BridgeState
from .mixture import MixtureBridge as MixtureBridge
from .neighbours import (
    Neighbours as Neighbours,
    near_observations as near_observations,
    ring_neighbours as ring_neighbours,
)
from .score import ScoreFilter as ScoreFilter
from .switch import SwitchCost as SwitchCost
from .transport import (
    Coupling as Coupling,
    log_sinkhorn as log_sinkhorn,
    sinkhorn as sinkhorn,
)
