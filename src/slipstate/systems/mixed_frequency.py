"""Series of several frequencies: totals, averages and growth over a window.

A model runs at the highest frequency. A component that is published less often is
missing in between, and where it sums up a window its observation is

    y = sum_l w_l (noise-free component, l steps ago) + noise

with weights that say what kind of figure it is. `mixed_frequency` gives any model the
past values that this needs as further states. The weights do not ask when a period
begins: a figure may be released at any row, late, or not yet (a ragged edge), and its
row is simply masked until then.

References:
    Harvey (1989), Forecasting, structural time series models and the Kalman filter,
    section 6.3. Mariano & Murasawa (2003), A new coincident index of business cycles
    based on monthly and quarterly series, J. Applied Econometrics 18.
"""

import jax.numpy as jnp

from slipstate.ground.errors import InputError
from slipstate.systems.aggregates import AbstractAggregate
from slipstate.systems.beliefs import AbstractBelief, Diffuse, Gaussian
from slipstate.systems.lagged import (
    AggregatedObservation,
    LaggedTransition,
    LinearAggregatedObservation,
    LinearLaggedTransition,
)
from slipstate.systems.linear import is_linear
from slipstate.systems.protocol import (
    AbstractLinearObservation,
    AbstractLinearTransition,
    AbstractStateSpaceModel,
    StateSpaceModel,
)


def mixed_frequency(
    model: AbstractStateSpaceModel,
    aggregates: tuple[AbstractAggregate, ...],
    past: Gaussian | None = None,
) -> StateSpaceModel:
    """Return a model whose components are published as `aggregates` say.

    The observation noise of the model is that of the published figures. Its state is
    that of `model`, then the past values of each component, the newest first.

    Args:
        model: Model at the highest frequency; one step per row.
        aggregates: For each observed component, such as (Stock(), Average(3)).
        past: Belief about noise-free values before the first row, in the order of the
            new states. None: nothing is known (infinite variance), for linear models;
            a figure whose window begins earlier then says nothing but its past.

    Returns:
        A linear model where `model` is linear.

    Raises:
        InputError: Not one aggregate for each component, `past` has another size, or it
            is needed and was not given.
    """
    names = model.observation.units
    if len(aggregates) != len(names):
        raise InputError(
            f"`aggregates` must name one for each of {len(names)} components; got "
            f"{len(aggregates)}. Pass Stock() for a component as it is."
        )
    weights = tuple(aggregate.weights() for aggregate in aggregates)
    lags = tuple(len(row) - 1 for row in weights)
    initial = _initial(model, sum(lags), past)
    transition, observation = model.transition, model.observation
    if is_linear(model):
        assert isinstance(transition, AbstractLinearTransition)
        assert isinstance(observation, AbstractLinearObservation)
        return StateSpaceModel(
            initial,
            LinearLaggedTransition(transition, observation, lags),
            LinearAggregatedObservation(observation, weights),
        )
    return StateSpaceModel(
        initial,
        LaggedTransition(transition, observation, lags),
        AggregatedObservation(observation, weights),
    )


def _initial(
    model: AbstractStateSpaceModel, more: int, past: Gaussian | None
) -> AbstractBelief:
    """Return the belief about the first state and its past."""
    start = model.initial
    if more == 0:
        return start
    mean = start.mean()
    n, dtype = mean.shape[0], mean.dtype
    known = start.covariance if isinstance(start, Diffuse) else start.cov()
    if past is not None and past.location.shape != (more,):
        raise InputError(
            f"`past` must have {more} components, one for each past value; got "
            f"{past.location.shape[0]}. Pass None where nothing is known."
        )
    if past is None and not is_linear(model):
        raise InputError(
            "`past` must be a Gaussian where the model is not linear; got None. Pass "
            f"Gaussian(mean, cov) of {more} components that covers what is possible."
        )
    lower = jnp.zeros((more, more), dtype) if past is None else past.covariance
    before = jnp.zeros(more, dtype) if past is None else past.location
    cov = jnp.pad(known, ((0, more), (0, more))).at[n:, n:].set(lower)
    location = jnp.concatenate([mean, before])
    unknown = jnp.zeros((n + more, 0), dtype)
    if isinstance(start, Diffuse):
        unknown = jnp.pad(start.directions, ((0, more), (0, 0)))
    if past is None:
        unknown = jnp.concatenate([unknown, jnp.eye(n + more, dtype=dtype)[:, n:]], 1)
    if unknown.shape[1]:
        return Diffuse(location, cov, unknown)
    return Gaussian(location, cov)
