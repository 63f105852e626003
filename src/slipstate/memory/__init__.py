"""Memory: functions of the past, as coefficients in a basis of warped time.

A memory is four independent choices. The *basis* says in which functions the past is
written, the *clock* how old it looks, the *hold* how samples fill time, the *boundary*
what happens where a window ends. The lag operator turns any combination into the
matrices (A, B) of a state-space model for any pair of times. In shapes, `mode` counts
the functions of the basis.
"""

from slipstate.memory.basis import (
    AbstractBasis,
    BSpline,
    ChebyshevT,
    ChebyshevU,
    Fourier,
    Frame,
    Gegenbauer,
    Haar,
    Hermite,
    Jacobi,
    Laguerre,
    Legendre,
    PiecewiseConstant,
)
from slipstate.memory.boundary import (
    AbstractBoundary,
    BufferedBoundary,
    MeanCorrectedBoundary,
    ProjectedBoundary,
)
from slipstate.memory.channels import ChannelMemory
from slipstate.memory.clock import (
    AbstractClock,
    Dilation,
    ExponentialClock,
    GatedClock,
    LogClock,
    MonotoneClock,
    PowerClock,
    RateWarp,
    ScaleClock,
    Shift,
    WindowClock,
)
from slipstate.memory.handover import (
    Diagonal,
    LinearSystem,
    NormalPlusLowRank,
    generator,
    to_diagonal,
    to_lti,
    to_nplr,
)
from slipstate.memory.hold import (
    AbstractHold,
    BinAverageHold,
    CellHold,
    LinearHold,
    MidpointHold,
)
from slipstate.memory.lag import Transition
from slipstate.memory.online import LagMemory
from slipstate.memory.pieces import Segments, merge_segments
from slipstate.memory.segments import (
    SegmentedMemory,
    SegmentedState,
    SegmentedStates,
)
from slipstate.memory.state import MemoryState
from slipstate.memory.states import MemoryStates

__all__ = [
    "AbstractBasis",
    "AbstractBoundary",
    "AbstractClock",
    "AbstractHold",
    "BSpline",
    "BinAverageHold",
    "BufferedBoundary",
    "CellHold",
    "ChannelMemory",
    "ChebyshevT",
    "ChebyshevU",
    "Diagonal",
    "Dilation",
    "ExponentialClock",
    "Fourier",
    "Frame",
    "GatedClock",
    "Gegenbauer",
    "Haar",
    "Hermite",
    "Jacobi",
    "LagMemory",
    "Laguerre",
    "Legendre",
    "LinearHold",
    "LinearSystem",
    "LogClock",
    "MeanCorrectedBoundary",
    "MemoryState",
    "MemoryStates",
    "MidpointHold",
    "MonotoneClock",
    "NormalPlusLowRank",
    "PiecewiseConstant",
    "PowerClock",
    "ProjectedBoundary",
    "RateWarp",
    "ScaleClock",
    "SegmentedMemory",
    "SegmentedState",
    "SegmentedStates",
    "Segments",
    "Shift",
    "Transition",
    "WindowClock",
    "generator",
    "merge_segments",
    "to_diagonal",
    "to_lti",
    "to_nplr",
]
