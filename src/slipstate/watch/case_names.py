"""What the numbers of a benchmark case are called, and what time is measured in."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from slipstate.assimilate.cases import Case
from slipstate.earth.observe import FaultObservation


class Names(NamedTuple):
    """Names of a case.

    Attributes:
        state: Of each component of the state.
        obs: Of each component of the observation.
        time: What time is, with its unit where it has one.
        unit: Unit of time, with a space before it; empty where it has none.
    """

    state: tuple[str, ...]
    obs: tuple[str, ...]
    time: str
    unit: str


def case_names(case: Case, size: int) -> Names:
    """Return the names of a case: those of a fault, or numbers.

    Args:
        case: The case.
        size: Number of state components.
    """
    observation = case.model.observation
    if isinstance(observation, FaultObservation):
        return Names(("ln V", "ln θ"), observation.components, "time (days)", " days")
    count = len(observation.units)
    numbered = lambda letter, many: tuple(f"{letter}{k + 1}" for k in range(many))
    return Names(numbered("x", size), numbered("y", count), "time of the model", "")


def noise_sd(case: Case) -> Float[np.ndarray, " obs"]:
    """Return the standard deviation of the noise of each observed component.

    Args:
        case: The case.
    """
    factor = np.asarray(case.model.observation.noise_factor())
    return np.sqrt(np.sum(factor**2, axis=1))
