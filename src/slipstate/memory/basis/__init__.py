"""Bases: orthonormal functions of the canonical coordinate of a memory."""

from slipstate.memory.basis.fourier import Fourier
from slipstate.memory.basis.frame import Frame
from slipstate.memory.basis.halfline import (
    AbstractHalfLineBasis,
    Hermite,
    Laguerre,
)
from slipstate.memory.basis.piecewise import (
    AbstractPanelBasis,
    BSpline,
    Haar,
    PiecewiseConstant,
)
from slipstate.memory.basis.polynomial import (
    AbstractJacobiBasis,
    ChebyshevT,
    ChebyshevU,
    Gegenbauer,
    Jacobi,
    Legendre,
)
from slipstate.memory.basis.protocol import AbstractBasis

__all__ = [
    "AbstractBasis",
    "AbstractHalfLineBasis",
    "AbstractJacobiBasis",
    "AbstractPanelBasis",
    "BSpline",
    "ChebyshevT",
    "ChebyshevU",
    "Fourier",
    "Frame",
    "Gegenbauer",
    "Haar",
    "Hermite",
    "Jacobi",
    "Laguerre",
    "Legendre",
    "PiecewiseConstant",
]
