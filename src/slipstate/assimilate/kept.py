"""What is kept of a filter's states: everything, or moments of them.

A covariance of n components at each of a million rows is what fills a memory, so a
driver may be asked to keep variances only (`cov="diagonal"`) or means only ("none").
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo, State
from slipstate.ground.errors import InputError, MethodError
from slipstate.systems.beliefs import AbstractBelief, Categorical, Mixture
from slipstate.systems.samples import Ensemble, Particles

Keep = str
"""Which covariances a result holds: "full", "diagonal" or "none"."""


class Moments(eqx.Module):
    """What is kept of a state where its covariance is not.

    Attributes:
        mean: Mean of the state.
        var: Variance of each component, or None where not even that is kept.
        probs: Probability of each mode, or None where the method follows none.
    """

    mean: Float[Array, "*time state"]
    var: Float[Array, "*time state"] | None
    probs: Float[Array, "*time mode"] | None


class KeptInnovation(eqx.Module):
    """What is kept of the diagnostics of an update where covariances are not.

    Attributes:
        innovation: Observation minus its prediction; 0 where nothing was observed.
        var: Variance of each predicted component, noise included, or None.
    """

    innovation: Float[Array, "*time obs"]
    var: Float[Array, "*time obs"] | None


def check_keep(cov: str) -> None:
    """Raise `InputError` unless `cov` is one of the three words."""
    if cov not in ("full", "diagonal", "none"):
        raise InputError(f'`cov` must be "full", "diagonal" or "none"; got "{cov}".')


def keep_state(method: AbstractFilter, state: State, cov: Keep) -> State:
    """Return one filter state, or the moments of it that `cov` asks for.

    Args:
        method: The filter.
        state: Its state at one row.
        cov: What to keep.
    """
    if cov == "full":
        return state
    belief = method.belief(state)
    var = belief.var() if cov == "diagonal" else None
    return Moments(belief.mean(), var, _mode_probs(belief))


def keep_info(info: AbstractInfo, cov: Keep) -> AbstractInfo | KeptInnovation:
    """Return diagnostics stacked along time, or what `cov` asks for of them."""
    if cov == "full":
        return info
    var = None
    if cov == "diagonal":
        var = jnp.diagonal(info.innovation_cov, axis1=-2, axis2=-1)
    return KeptInnovation(info.innovation, var)


def means_of(method: AbstractFilter, states: State) -> Float[Array, "time state"]:
    """Return the mean of each of a series of filter states.

    Args:
        method: The filter.
        states: Its states, stacked along time, or moments of them.
    """
    if isinstance(states, Moments):
        return states.mean
    return jax.vmap(lambda state: method.belief(state).mean())(states)


def covs_of(method: AbstractFilter, states: State) -> Float[Array, "time state state"]:
    """Return the covariance of each of a series of filter states.

    Args:
        method: The filter.
        states: Its states, stacked along time.

    Raises:
        MethodError: Covariances were not kept.
    """
    if isinstance(states, Moments):
        raise not_kept("covs", "full")
    return jax.vmap(lambda state: method.belief(state).cov())(states)


def variances_of(method: AbstractFilter, states: State) -> Float[Array, "time state"]:
    """Return the variances of each of a series of filter states.

    Args:
        method: The filter.
        states: Its states, stacked along time, or moments of them.

    Raises:
        MethodError: Variances were not kept.
    """
    if isinstance(states, Moments):
        if states.var is None:
            raise not_kept("variances", "diagonal")
        return states.var
    return jax.vmap(lambda state: method.belief(state).var())(states)


def probs_of(method: AbstractFilter, states: State) -> Float[Array, "time mode"]:
    """Return the probability of each mode in each of a series of filter states.

    Args:
        method: The filter.
        states: Its states, stacked along time, or moments of them.

    Raises:
        MethodError: The filter follows no modes.
    """
    if isinstance(states, Moments):
        found = states.probs
    else:
        found = jax.vmap(lambda state: _mode_probs(method.belief(state)))(states)
    if found is None:
        raise MethodError(
            f"`probs` needs a method that follows modes; {type(method).__name__} "
            "follows none. Use `means` and `covs`."
        )
    return found


def samples_of(method: AbstractFilter, state: State) -> Ensemble | Particles:
    """Return the belief of one filter state that is held by samples.

    Args:
        method: The filter.
        state: Its state at one row.

    Raises:
        MethodError: The filter carries no ensemble, or it was not kept.
    """
    if isinstance(state, Moments):
        raise not_kept("ensembles", "full")
    belief = method.belief(state)
    if not isinstance(belief, Ensemble | Particles):
        raise MethodError(
            f"`ensembles` needs a filter that carries members; {type(method).__name__} "
            "carries none. Use `means` and `covs`."
        )
    return belief


def not_kept(name: str, cov: str) -> MethodError:
    """Return the error for asking a result for what it was told not to keep."""
    return MethodError(
        f"`{name}` was not kept. Run again with "
        f'`cov="{cov}"`, over a shorter stretch where memory is short.'
    )


def _mode_probs(belief: AbstractBelief) -> Float[Array, " mode"] | None:
    """Return the probability of each mode, None where there are no modes."""
    if isinstance(belief, Categorical):
        return belief.probs()
    return belief.weights() if isinstance(belief, Mixture) else None
