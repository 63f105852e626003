"""The evidence of a network model whose steps are known: what a fit maximises.

The same model as the network filter's, without step hypotheses and common mode: a step
adds its covariance on the days it is told. Small and fused, because a fit runs it
hundreds of times.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.mixing import mix_moments, mix_probabilities
from slipstate.assimilate.outliers import student_log_density, update_series
from slipstate.ground.types import ScalarLike
from slipstate.systems.network import NetworkModel


def network_log_likelihoods(
    model: NetworkModel,
    y: Float[Array, "time station comp"],
    mask: Bool[Array, "time station comp"],
    scale: Float[Array, "time station comp"],
    kicks: Bool[Array, "time station"],
    dof: ScalarLike = 4.0,
) -> Float[Array, " time"]:
    """Return log p(y_k | y_1, ..., y_{k-1}) [nats] for every tick.

    Args:
        model: The network.
        y: Observations; any finite number where masked.
        mask: True where observed.
        scale: Factor on the noise scale.
        kicks: True where a station steps.
        dof: Degrees of freedom of the noise.

    Returns:
        One term per tick; sum them outside.
    """
    log_switch = jnp.log(model.switch)
    modes = model.modes
    shape = (*model.initial_mean.shape[:2], modes, model.h.shape[0])
    mean = jnp.broadcast_to(model.initial_mean[:, :, None], shape)
    cov = jnp.broadcast_to(model.initial_cov[:, :, None], (*shape, shape[-1]))
    offset = jnp.moveaxis(model.b, 0, 2)
    noise_cov = jnp.moveaxis(model.Q, 0, 2)

    def step(carry: tuple, row: tuple) -> tuple[tuple, Array]:
        log_probs, mean, cov = carry
        y, mask, scale, kick = row
        log_pred, mixing = mix_probabilities(log_probs, log_switch)
        mean, cov = mix_moments(mixing, mean, cov)
        mean = jnp.einsum("scnm,scjm->scjn", model.F, mean) + offset
        cov = jnp.einsum("scnk,scjkl,scml->scjnm", model.F, cov, model.F) + noise_cov
        kicked = kick[:, None, None, None, None]
        cov = cov + jnp.where(kicked, model.kick_cov[:, :, None], 0.0)
        seen = mask[..., None]
        error = jnp.where(seen, y[..., None] - mean @ model.h, 0.0)
        noise = (model.noise_scale * scale)[..., None] ** 2
        # a finite stand-in keeps gradients finite; a masked gain is 1e-12 of a real one
        noise = jnp.broadcast_to(jnp.where(seen, noise, 1e12 * noise), error.shape)
        mean, cov, signal = update_series(mean, cov, model.h, error, noise, dof)
        density = student_log_density(error, signal + noise, dof)
        joint = log_pred + jnp.sum(jnp.where(seen, density, 0.0), (0, 1))
        total = jax.nn.logsumexp(joint)
        return (joint - total, mean, cov), total

    start = (jnp.log(model.initial_probs), mean, cov)
    return jax.lax.scan(step, start, (y, mask, scale, kicks))[1]
