"""The common mode: what all stations of a network do together for a few days.

For one component, the stations see y_i = x_i + m + v_i with the same m. Under the
factorised prior N(m; mu, p) prod N(x_i; ., s_i), with errors e_i = y_i - x_i of
variance q_i = s_i + r_i, everything is one precision sum:

    1/p' = 1/p + sum 1/q_i,      mu' = p' (mu/p + sum e_i/q_i).

Station i must not be told its own error back, so its update sees m as the OTHERS
measured it (the sum without i). Their joint likelihood follows by the chain rule, each
station given the ones before it; `chain_correction` turns the sum of the
leave-one-out likelihoods into that joint one.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.outliers import precision_weight, student_log_density
from slipstate.ground.types import ScalarLike

_CERTAIN = 1e-12  # variance below which the common mode counts as absent


class CommonMode(eqx.Module):
    """Belief about the common mode under each mode of the switch.

    Attributes:
        mean: Mean [unit of y].
        var: Variance.
    """

    mean: Float[Array, "mode comp"]
    var: Float[Array, "mode comp"]

    def move(
        self,
        mixing: Float[Array, "mode mode"],
        sd: Float[Array, " comp"],
        decay: Float[Array, " comp"],
    ) -> "CommonMode":
        """Return the belief after one tick.

        Args:
            mixing: Weights of the modes before (rows) in the modes after (columns).
            sd: Stationary standard deviation.
            decay: Correlation from tick to tick.

        Returns:
            The mixed and moved belief.
        """
        mean = mixing.T @ self.mean
        second = mixing.T @ (self.var + self.mean**2)
        var = jnp.maximum(second - mean**2, 0.0)
        decay, sd = decay[None], sd[None]
        return CommonMode(decay * mean, decay**2 * var + (1.0 - decay**2) * sd**2)


class CommonSeen(eqx.Module):
    """What one tick says about the common mode.

    Attributes:
        mean: Updated mean.
        var: Updated variance.
        others_mean: The mean without the station's own error.
        others_var: Its variance.
        chain_correction: Joint minus leave-one-out log density, by station [nats].
    """

    mean: Float[Array, "mode comp"]
    var: Float[Array, "mode comp"]
    others_mean: Float[Array, "station mode comp"]
    others_var: Float[Array, "station mode comp"]
    chain_correction: Float[Array, "station mode"]


def observe_common_mode(
    prior: CommonMode,
    weights: Float[Array, "station 2"],
    error: Float[Array, "station 2 mode comp"],
    signal: Float[Array, "station 2 mode comp"],
    noise: Float[Array, "station comp"],
    mask: Bool[Array, "station comp"],
    dof: ScalarLike,
) -> CommonSeen:
    """Update the common mode by the errors of all stations.

    A station with two open hypotheses counts with the moments of their mixture; one
    with an outlier counts little, by the weight of Student's density.

    Args:
        prior: Predicted common mode.
        weights: Probability of each hypothesis.
        error: y - h.x per hypothesis and mode of the switch.
        signal: Variance of h.x.
        noise: Squared scale of the observation noise.
        mask: True where observed.
        dof: Degrees of freedom of the noise.

    Returns:
        The updated belief and what each station needs.
    """
    mean = jnp.einsum("sh,shjc->sjc", weights, error)
    apart = (error - mean[:, None]) ** 2
    q = jnp.einsum("sh,shjc->sjc", weights, signal + apart) + noise[:, None]
    prior_mean, prior_var = prior.mean[None], prior.var[None]
    off = mean - prior_mean
    trust = jnp.minimum(precision_weight(off, q + prior_var, dof), 1.0)
    seen = mask[:, None]
    info = jnp.where(seen, trust / q, 0.0)
    push = info * off
    own = 1.0 / jnp.maximum(prior_var, _CERTAIN)
    total = own + jnp.sum(info, 0, keepdims=True)
    pushed = jnp.sum(push, 0, keepdims=True)
    others_var = 1.0 / (total - info)
    others_mean = prior_mean + others_var * (pushed - push)
    before_var = 1.0 / (own + jnp.cumsum(info, 0) - info)
    before_mean = prior_mean + before_var * (jnp.cumsum(push, 0) - push)
    chain = student_log_density(mean - before_mean, q + before_var, dof)
    alone = student_log_density(mean - others_mean, q + others_var, dof)
    correction = jnp.sum(jnp.where(seen, chain - alone, 0.0), -1)
    return CommonSeen(
        (prior_mean + pushed / total)[0],
        (1.0 / total)[0],
        others_mean,
        others_var,
        correction,
    )
