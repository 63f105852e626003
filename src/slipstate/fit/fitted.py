"""What a fit of one candidate model leaves behind."""

import math
from typing import NamedTuple

from slipstate.assimilate.protocol import AbstractFilter
from slipstate.ground.solution import Outcome
from slipstate.systems.protocol import AbstractModel


class FittedNumber(NamedTuple):
    """One fitted parameter.

    Attributes:
        name: What it is, in words.
        value: Its value.
        error: Its standard error; NaN where the likelihood has no proper maximum in it.
        unit: Its unit.
    """

    name: str
    value: float
    error: float
    unit: str


class Fitted(NamedTuple):
    """A candidate with its parameters chosen.

    Attributes:
        name: Name of the candidate.
        words: What it is, in a sentence.
        model: The model.
        method: The filter that follows it.
        numbers: Its fitted parameters.
        log_likelihood: Of the part it was fitted to [nats].
        free: How many numbers were chosen by the data, those of a diffuse start among
            them.
        samples: Observed samples it was fitted to.
        outcome: How the search ended.
        provenance: Method and settings in words.
        modes: Names of the modes it switches between; empty where it has none.
    """

    name: str
    words: str
    model: AbstractModel
    method: AbstractFilter
    numbers: tuple[FittedNumber, ...]
    log_likelihood: float
    free: int
    samples: int
    outcome: Outcome
    provenance: str
    modes: tuple[str, ...] = ()

    @property
    def bic(self) -> float:
        """-2 log-likelihood + free log(samples); smaller is better."""
        return -2.0 * self.log_likelihood + self.free * math.log(max(self.samples, 1))
