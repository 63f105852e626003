"""Benchmark cases, each named after its paper and ending with accepted numbers."""

from slipstate.assimilate.cases.bao2024 import (
    ArctanObservation,
    lorenz96_bao2024,
)
from slipstate.assimilate.cases.bocquet2013 import (
    lorenz96_bocquet2013,
    lorenz96_climate,
)
from slipstate.assimilate.cases.bocquet2019 import (
    kuramoto_sivashinsky_bocquet2019,
)
from slipstate.assimilate.cases.case import Accepted, Case, Twin
from slipstate.assimilate.cases.double_well import SquareObservation, double_well
from slipstate.assimilate.cases.linear_gaussian import (
    constant_velocity,
)
from slipstate.assimilate.cases.mandel2016 import (
    CubeObservation,
    DistanceObservation,
    lorenz63_distance,
    lorenz63_mandel2016,
)
from slipstate.assimilate.cases.sakov2008 import lorenz96_sakov2008
from slipstate.assimilate.cases.sakov2012 import lorenz63_sakov2012
from slipstate.assimilate.cases.slider_twin import (
    slider_twin,
)
from slipstate.assimilate.cases.spantini2019 import (
    lorenz96_spantini2019,
)
from slipstate.assimilate.cases.wiljes2017 import (
    lorenz63_wiljes2017,
)

__all__ = [
    "Accepted",
    "ArctanObservation",
    "Case",
    "CubeObservation",
    "DistanceObservation",
    "SquareObservation",
    "Twin",
    "constant_velocity",
    "double_well",
    "kuramoto_sivashinsky_bocquet2019",
    "lorenz63_distance",
    "lorenz63_mandel2016",
    "lorenz63_sakov2012",
    "lorenz63_wiljes2017",
    "lorenz96_bao2024",
    "lorenz96_bocquet2013",
    "lorenz96_climate",
    "lorenz96_sakov2008",
    "lorenz96_spantini2019",
    "slider_twin",
]
