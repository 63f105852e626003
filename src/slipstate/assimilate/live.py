"""What a run in real time remembers between rows, and what it reports of each."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from slipstate.assimilate.arrivals import Arrival, Row
from slipstate.assimilate.conformal import Interval
from slipstate.assimilate.health import Alarm, Condition
from slipstate.assimilate.programs import Carry


class Watch(NamedTuple):
    """What is remembered beside the filter's state.

    Attributes:
        condition: Of the alarms.
        log_q: Logarithm of the conformal factors.
    """

    condition: Condition
    log_q: Float[np.ndarray, "level obs"]


class Kept(NamedTuple):
    """A row with what stood before it.

    Attributes:
        carry: The running state before the row.
        watch: What was remembered before it.
        row: The row.
        rung: Number of the rung that took it in.
    """

    carry: Carry
    watch: Watch
    row: Row
    rung: int


class Report(NamedTuple):
    """What one call of `step` did.

    Attributes:
        arrival: What came.
        t: Time at which the run stands.
        rows: Rows that were worked on; none where nothing was to be done.
        rung: Name of the rung that was taken.
        seconds: How long it took.
        missed: Whether that was longer than the deadline.
        alarms: What is wrong, after the last row.
        recovered: Whether the run started again from the climatology.
        log_likelihood: log p(row | rows before) [nats], of the last row.
        innovation: Observation minus prediction of the last row; 0 where masked.
        interval: What had been forecast of the last row; its mean is NaN where
            nothing was observed.
    """

    arrival: Arrival
    t: float
    rows: int
    rung: str
    seconds: float
    missed: bool
    alarms: tuple[Alarm, ...]
    recovered: bool
    log_likelihood: float
    innovation: Float[np.ndarray, " obs"]
    interval: Interval


class Taken(NamedTuple):
    """What one row says, after it was taken in.

    Attributes:
        alarms: What is wrong.
        recovered: Whether the run started again from the climatology.
        log_likelihood: log p(row | rows before) [nats].
        innovation: Observation minus prediction; 0 where masked.
        interval: What had been forecast of it.
    """

    alarms: tuple[Alarm, ...]
    recovered: bool
    log_likelihood: float
    innovation: Float[np.ndarray, " obs"]
    interval: Interval
