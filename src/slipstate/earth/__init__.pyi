from .chaos import DoubleWell as DoubleWell, Lorenz63 as Lorenz63, Lorenz96 as Lorenz96
from .cycle import (
    CycleOutcome as CycleOutcome,
    LimitCycle as LimitCycle,
    SlipEvents as SlipEvents,
)
from .fault_attributes import (
    fault_attributes as fault_attributes,
    fault_slider as fault_slider,
)
from .fault_record import fault_from_record as fault_from_record
from .friction import (
    AbstractStateLaw as AbstractStateLaw,
    AgeingLaw as AgeingLaw,
    CutoffLaw as CutoffLaw,
    RateStateFriction as RateStateFriction,
    SlipLaw as SlipLaw,
)
from .front import KuramotoSivashinsky as KuramotoSivashinsky
from .motion import SliderRun as SliderRun
from .observe import FaultObservation as FaultObservation
from .slider import SpringSlider as SpringSlider
from .transition import SliderTransition as SliderTransition
from .twin import (
    FaultTwin as FaultTwin,
    build_twin as build_twin,
    cycle_states as cycle_states,
    slow_slip_slider as slow_slip_slider,
    spread_phases as spread_phases,
    with_ensemble as with_ensemble,
)
