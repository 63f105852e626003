"""What a published figure says about the steps before it, as weights.

References:
    Mariano & Murasawa (2003), A new coincident index of business cycles based on
    monthly and quarterly series, J. Applied Econometrics 18.
"""

from abc import abstractmethod

import equinox as eqx

from slipstate.ground.errors import InputError


class AbstractAggregate(eqx.Module):
    """What one published figure says about the steps before it."""

    @abstractmethod
    def weights(self) -> tuple[float, ...]:
        """Return the weight of the present step, the one before, and so on."""


class Stock(AbstractAggregate):
    """The value at the time of publication; what every component is by itself."""

    def weights(self) -> tuple[float, ...]:
        """Return one weight."""
        return (1.0,)


class Total(AbstractAggregate):
    """The sum over the last `every` steps.

    Attributes:
        every: Steps in the window.
    """

    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse an empty window."""
        _check_every(self.every)

    def weights(self) -> tuple[float, ...]:
        """Return ones."""
        return (1.0,) * self.every


class Average(AbstractAggregate):
    """The mean over the last `every` steps.

    Attributes:
        every: Steps in the window.
    """

    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse an empty window."""
        _check_every(self.every)

    def weights(self) -> tuple[float, ...]:
        """Return equal weights."""
        return (1.0 / self.every,) * self.every


class Growth(AbstractAggregate):
    """Growth from one window to the next, where the component is growth per step.

    The growth of the average of `every` steps is, with geometric means, a triangle of
    weights on the growth of 2 every - 1 steps: 1/3, 2/3, 1, 2/3, 1/3 for quarters.

    Attributes:
        every: Steps in the window.
    """

    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse an empty window."""
        _check_every(self.every)

    def weights(self) -> tuple[float, ...]:
        """Return the triangle."""
        steps = range(1, 2 * self.every)
        return tuple(min(l, 2 * self.every - l) / self.every for l in steps)


def _check_every(every: int) -> None:
    """Raise `InputError` unless `every` counts at least one step."""
    if isinstance(every, bool) or every != int(every) or every < 1:
        raise InputError(
            f"`every` must be a whole number of steps, 1 or more; got {every}. Pass 3 "
            "for quarters of monthly steps."
        )
