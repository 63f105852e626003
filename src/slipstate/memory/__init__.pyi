from .basis import (
    AbstractBasis as AbstractBasis,
    BSpline as BSpline,
    ChebyshevT as ChebyshevT,
    ChebyshevU as ChebyshevU,
    Fourier as Fourier,
    Frame as Frame,
    Gegenbauer as Gegenbauer,
    Haar as Haar,
    Hermite as Hermite,
    Jacobi as Jacobi,
    Laguerre as Laguerre,
    Legendre as Legendre,
    PiecewiseConstant as PiecewiseConstant,
)
from .boundary import (
    AbstractBoundary as AbstractBoundary,
    BufferedBoundary as BufferedBoundary,
    MeanCorrectedBoundary as MeanCorrectedBoundary,
    ProjectedBoundary as ProjectedBoundary,
)
from .channels import ChannelMemory as ChannelMemory
from .clock import (
    AbstractClock as AbstractClock,
    Dilation as Dilation,
    ExponentialClock as ExponentialClock,
    GatedClock as GatedClock,
    LogClock as LogClock,
    MonotoneClock as MonotoneClock,
    PowerClock as PowerClock,
    RateWarp as RateWarp,
    ScaleClock as ScaleClock,
    Shift as Shift,
    WindowClock as WindowClock,
)
from .handover import (
    Diagonal as Diagonal,
    LinearSystem as LinearSystem,
    NormalPlusLowRank as NormalPlusLowRank,
    generator as generator,
    to_diagonal as to_diagonal,
    to_lti as to_lti,
    to_nplr as to_nplr,
)
from .hold import (
    AbstractHold as AbstractHold,
    BinAverageHold as BinAverageHold,
    CellHold as CellHold,
    LinearHold as LinearHold,
    MidpointHold as MidpointHold,
)
from .lag import Transition as Transition
from .online import LagMemory as LagMemory
from .pieces import Segments as Segments, merge_segments as merge_segments
from .segments import (
    SegmentedMemory as SegmentedMemory,
    SegmentedState as SegmentedState,
    SegmentedStates as SegmentedStates,
)
from .state import MemoryState as MemoryState
from .states import MemoryStates as MemoryStates
