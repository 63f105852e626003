"""Units: every known one converts, and the factors agree with each other."""

import pytest

from slipstate.ground.errors import InputError
from slipstate.records.units import KNOWN_UNITS, Unit, convert


@pytest.mark.parametrize("symbol", KNOWN_UNITS)
def test_every_unit_becomes_si(symbol):
    unit = convert(symbol)
    assert unit.symbol in {"m", "s", "m/s", "Pa", "1"}
    assert convert(unit.symbol) == Unit(unit.symbol, 1.0)


@pytest.mark.parametrize("symbol", ["nm", "um", "mm", "cm", "m", "km"])
def test_lengths_in_mm_are_a_thousand_times_those_in_metres(symbol):
    unit = convert(symbol, lengths_in_mm=True)
    assert unit.symbol == "mm"
    assert unit.factor == pytest.approx(1e3 * convert(symbol).factor, rel=1e-15)


def test_what_is_no_length_stays_si():
    assert convert("MPa", lengths_in_mm=True) == Unit("Pa", 1e6)


@pytest.mark.parametrize(
    ("symbol", "factor"),
    [("days", 86400), ("yr", 31557600), ("mm/yr", 1e-3 / 31557600), (" µm ", 1e-6)],
)
def test_some_factors(symbol, factor):
    assert convert(symbol).factor == factor


@pytest.mark.parametrize("symbol", ["furlong", "", "mpa", "MM"])
def test_an_unknown_unit_names_the_known_ones(symbol):
    with pytest.raises(InputError, match="mm, cm, m, km") as caught:
        convert(symbol)
    assert repr(symbol) in str(caught.value)
