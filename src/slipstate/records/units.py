"""Units that may stand in a header, and what they become.

Inside slipstate everything is SI, except daily positions, which geodesists read in
millimetres: those stay in mm and say so in `units`. Conversion happens in this floor
and nowhere else.

>>> convert("MPa").factor
1000000.0
>>> convert("cm", lengths_in_mm=True)
Unit(symbol='mm', factor=10.0)
"""

from typing import NamedTuple

from slipstate.ground.errors import InputError

DAY = 86_400.0
"""One day [s]."""

YEAR = 365.25 * DAY
"""One Julian year [s]."""


class Unit(NamedTuple):
    """What a unit becomes.

    Attributes:
        symbol: The unit values have after conversion.
        factor: What to multiply by to get there.
    """

    symbol: str
    factor: float


_SI = {
    "nm": Unit("m", 1e-9),
    "um": Unit("m", 1e-6),
    "mm": Unit("m", 1e-3),
    "cm": Unit("m", 1e-2),
    "m": Unit("m", 1.0),
    "km": Unit("m", 1e3),
    "ms": Unit("s", 1e-3),
    "s": Unit("s", 1.0),
    "min": Unit("s", 60.0),
    "h": Unit("s", 3600.0),
    "days": Unit("s", DAY),
    "yr": Unit("s", YEAR),
    "um/s": Unit("m/s", 1e-6),
    "mm/s": Unit("m/s", 1e-3),
    "m/s": Unit("m/s", 1.0),
    "mm/yr": Unit("m/s", 1e-3 / YEAR),
    "Pa": Unit("Pa", 1.0),
    "kPa": Unit("Pa", 1e3),
    "MPa": Unit("Pa", 1e6),
    "GPa": Unit("Pa", 1e9),
    "1": Unit("1", 1.0),
}
# Lengths in mm have their own factors: 1e-3 * 1e3 is not always exactly one.
_MM = {"nm": 1e-6, "um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3, "km": 1e6}
_ALSO = {
    "µm": "um",
    "μm": "um",
    "µm/s": "um/s",
    "μm/s": "um/s",
    "sec": "s",
    "seconds": "s",
    "hours": "h",
    "d": "days",
    "day": "days",
    "year": "yr",
    "years": "yr",
    "a": "yr",
    "mm/a": "mm/yr",
    "m s-1": "m/s",
    "dimensionless": "1",
    "-": "1",
}

KNOWN_UNITS = tuple(_SI)
"""Every unit symbol a header may hold."""


def convert(symbol: str, *, lengths_in_mm: bool = False) -> Unit:
    """Return the unit values get, and the factor that takes them there.

    Args:
        symbol: Unit as written in a file.
        lengths_in_mm: Keep lengths in mm (daily positions) and not in m.

    Returns:
        The target unit and its factor.

    Raises:
        InputError: The unit is not known.
    """
    name = _ALSO.get(symbol.strip(), symbol.strip())
    if name not in _SI:
        raise InputError(
            f"`units` must be one of {', '.join(KNOWN_UNITS)}; got {symbol!r}. "
            "Convert the values, or write `1` for a number without dimension."
        )
    if lengths_in_mm and name in _MM:
        return Unit("mm", _MM[name])
    return _SI[name]
