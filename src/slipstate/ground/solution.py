"""What every long computation returns: a value, how it ended, and how it got there."""

from typing import Any, Generic, TypeVar

import equinox as eqx

Value = TypeVar("Value")


class Outcome(eqx.Enumeration):
    """How a computation ended; the value of each member is the advice to the user."""

    successful = ""
    not_converged = (
        "The iteration stopped at its limit before it met its tolerance. The best "
        "values found are returned. Raise `max_steps`, start nearer, or loosen `rtol`."
    )
    not_finite = (
        "A value became infinite or NaN. Common causes: a covariance that is not "
        "positive semi-definite, units that differ by many orders of magnitude, or an "
        "observation of NaN that is not masked."
    )
    singular_innovation = (
        "An innovation covariance was not positive definite. Check that every observed "
        "component has positive noise, or that the state is not known exactly."
    )
    diverged = (
        "The estimate left the observations behind: innovations stayed far larger than "
        "their stated spread. Raise the inflation or the model noise, or restart from "
        "a wider initial belief."
    )


class Solution(eqx.Module, Generic[Value]):
    """The answer of an iterative computation.

    Attributes:
        value: The answer; the best found where the iteration did not converge.
        outcome: How it ended; the message of a failure says what to do.
        info: Counts and traces of the iteration, by name.
        provenance: Method and settings in words, for reports.
    """

    value: Value
    outcome: Outcome
    info: dict[str, Any]
    provenance: str = eqx.field(static=True)
