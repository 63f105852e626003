"""How a record says what fault it is of.

Its attributes `fault_a`, `fault_b`, ... hold the slider that made it, or that is to
follow it, in SI units; `fault_law` names the law of its state.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from slipstate.earth.friction import AgeingLaw, CutoffLaw, SlipLaw
from slipstate.earth.slider import SpringSlider
from slipstate.ground.errors import InputError

_NUMBERS = ("a", "b", "Dc", "sigma", "k", "Vpl", "eta", "f0", "V0")
_LAWS = ("ageing", "slip", "cutoff")


def fault_attributes(slider: SpringSlider) -> dict[str, Any]:
    """Return the attributes by which a record tells its fault.

    Args:
        slider: The fault.

    Returns:
        Numbers in SI units, and the name of the law.

    Raises:
        InputError: The law has no name.
    """
    found: dict[str, Any] = {
        f"fault_{name}": float(getattr(slider, name)) for name in _NUMBERS
    }
    if isinstance(slider.law, CutoffLaw):
        return found | {"fault_law": "cutoff", "fault_Vc": float(slider.law.Vc)}
    for name, kind in (("ageing", AgeingLaw), ("slip", SlipLaw)):
        if isinstance(slider.law, kind):
            return found | {"fault_law": name}
    raise InputError(
        f"`slider` must obey a law that a record can name, one of {_LAWS}; got "
        f"{type(slider.law).__name__}."
    )


def fault_slider(attributes: Mapping[Any, Any]) -> SpringSlider:
    """Return the slider that the attributes of a record tell of.

    Args:
        attributes: Attributes of the record.

    Returns:
        The slider.

    Raises:
        InputError: An attribute is missing or no number, or the law is unknown.
    """
    numbers = {name: _number(attributes, f"fault_{name}") for name in _NUMBERS}
    law = str(attributes.get("fault_law", ""))
    if law not in _LAWS:
        raise InputError(
            f"`fault_law` must be one of {', '.join(_LAWS)}; got {law!r}. Set the "
            "attribute of the record."
        )
    if law == "cutoff":
        return SpringSlider(**numbers, law=CutoffLaw(_number(attributes, "fault_Vc")))
    return SpringSlider(**numbers, law=AgeingLaw() if law == "ageing" else SlipLaw())


def _number(attributes: Mapping[Any, Any], name: str) -> float:
    """Return one attribute as a number."""
    value = attributes.get(name)
    try:
        number = float(np.asarray(value).item())
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise InputError(
            f"the record must tell its fault: attribute `{name}` must be a number; got "
            f"{value!r}. Set it, in SI units, as `slipstate simulate fault` does."
        )
    return number
