"""Smoothed states of a network, given what was decided about its switch and its steps.

With the switch known only through its posterior p_t, the offset of a tick has mean
p_t b and variance p_t (1 - p_t) b b^T; with the steps known, everything is one linear
Gaussian model per series. Smoothing goes backwards by the adjoint of the filter
(Bryson and Frazier 1963; de Jong 1989), which needs no inverse:

    r <- h v / q + (I - K h)^T F^T r,    x^ = x + P r,   var = P - P N P.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.outliers import precision_weight
from slipstate.ground.kept_programs import kept_jit
from slipstate.ground.types import ScalarLike
from slipstate.systems.network import NetworkModel


@kept_jit
def smooth_network(
    model: NetworkModel,
    y: Float[Array, "time station comp"],
    mask: Bool[Array, "time station comp"],
    scale: Float[Array, "time station comp"],
    slipping: Float[Array, " time"],
    kicks: Bool[Array, "time station"],
    dof: ScalarLike = 4.0,
) -> tuple[
    Float[Array, "time station comp state"],
    Float[Array, "time station comp state"],
    Float[Array, "time station comp"],
]:
    """Smooth every series given the posterior of the switch and the days of steps.

    Args:
        model: The network; its last mode is the slipping one.
        y: Observations; any finite number where masked.
        mask: True where observed.
        scale: Factor on the noise scale.
        slipping: Smoothed probability of slipping.
        kicks: True where a station steps.
        dof: Degrees of freedom of the noise.

    Returns:
        Means and standard deviations of the states, and of the signal h x the
        standard deviation.
    """

    def one_series(F, b, Q, mean, cov, r, K, kick, y, mask, scale):
        h = model.h
        eye = jnp.eye(h.shape[0])

        def forward(carry: tuple, row: tuple) -> tuple[tuple, tuple]:
            x, P = carry
            y, seen, factor, p, kicked = row
            x = F @ x + p * b
            P = F @ P @ F.T + Q + p * (1.0 - p) * jnp.outer(b, b) + kicked * K
            ph = P @ h
            s = ph @ h
            v = jnp.where(seen, y - x @ h, 0.0)
            noise = (r * factor) ** 2
            q = s + noise / precision_weight(v, s + noise, dof)
            gain = jnp.where(seen, ph / q, 0.0)
            keep = eye - jnp.outer(gain, h)
            new = keep @ P
            kept = (
                x,
                P,
                jnp.where(seen, v / q, 0.0),
                jnp.where(seen, 1.0 / q, 0.0),
                gain,
            )
            return (x + gain * v, 0.5 * (new + new.T)), kept

        rows = (y, mask, scale, slipping, kick.astype(y.dtype))
        _, (xs, Ps, push, info, gains) = jax.lax.scan(forward, (mean, cov), rows)

        def backward(carry: tuple, row: tuple) -> tuple[tuple, tuple]:
            adjoint, N = carry  # of the predicted state one tick later
            x, P, push, info, gain = row
            L = F @ (eye - jnp.outer(gain, h))
            adjoint = h * push + L.T @ adjoint
            N = jnp.outer(h, h) * info + L.T @ N @ L
            var = P - P @ N @ P
            sd = jnp.sqrt(jnp.maximum(jnp.diagonal(var), 0.0))
            signal_sd = jnp.sqrt(jnp.maximum(h @ var @ h, 0.0))
            return (adjoint, N), (x + P @ adjoint, sd, signal_sd)

        zero = (jnp.zeros_like(mean), jnp.zeros_like(cov))
        back = (xs, Ps, push, info, gains)
        return jax.lax.scan(backward, zero, back, reverse=True)[1]

    def one_station(data: tuple) -> tuple:
        F, b, Q, mean, cov, r, K, kick, y, mask, scale = data
        columns = jax.vmap(one_series, in_axes=(0,) * 7 + (None, 1, 1, 1), out_axes=1)
        return columns(F, b, Q, mean, cov, r, K, kick, y, mask, scale)

    per_station = lambda x: jnp.moveaxis(x, 1, 0)
    data = (
        model.F,
        model.b[-1],
        model.Q[0],
        model.initial_mean,
        model.initial_cov,
        model.noise_scale,
        model.kick_cov,
        *(per_station(x) for x in (kicks, y, mask, scale)),
    )
    means, sds, signal_sds = jax.lax.map(one_station, data)
    in_time = lambda x: jnp.moveaxis(x, 0, 1)
    return in_time(means), in_time(sds), in_time(signal_sds)
