"""Benchmark cases, each named after its paper and ending with accepted numbers."""

from slipstate.assimilate.cases.case import Accepted, Case, Twin
from slipstate.assimilate.cases.double_well import SquareObservation, double_well
from slipstate.assimilate.cases.sakov2008 import lorenz96_sakov2008
from slipstate.assimilate.cases.sakov2012 import lorenz63_sakov2012

__all__ = [
    "Accepted",
    "Case",
    "SquareObservation",
    "Twin",
    "double_well",
    "lorenz63_sakov2012",
    "lorenz96_sakov2008",
]
