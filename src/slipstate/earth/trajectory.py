"""The trajectory of a GNSS station as a linear state space.

Position = level + season + coloured noise + relaxation after steps, where

- the level moves with the rate and as a random walk; slow slip adds a drift to it and
  a step displaces it;
- annual and semi-annual motion are two rotating pairs, so amplitude and phase are
  states and need no clock;
- a first-order Gauss-Markov process is the coloured part of the noise;
- two exponentials that a step sets off and that then decay stand for the afterslip and
  the relaxation after an earthquake (a sum of exponentials spans the usual logarithm).

Units are millimetres and days.

References:
    Bevis and Brown, J. Geod. 88, 283 (2014) on trajectory models.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.earth.noise import (
    gauss_markov_decay,
    gauss_markov_variance,
    random_walk_variance,
)
from slipstate.ground.kept_programs import kept_jit
from slipstate.ground.linalg import psd_factor
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.network import NetworkModel
from slipstate.systems.protocol import AbstractLinearTransition, Input

TERMS = (
    "level",
    "rate",
    "annual",
    "annual quadrature",
    "semi-annual",
    "semi-annual quadrature",
    "coloured noise",
    "fast relaxation",
    "slow relaxation",
)
"""Names of the state components, in order."""

LEVEL, RATE, ANNUAL, SEMI, MARKOV, FAST, SLOW = 0, 1, 2, 4, 6, 7, 8

YEAR = 365.25  # [day]
FAST_TIME, SLOW_TIME = 7.0, 90.0  # [day]

OBSERVED = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
"""The observation row: level, both seasonal terms, coloured noise and relaxation."""

# Slow changes of rate and season, small enough to leave ten years of data in charge.
_RATE_WALK = 1e-6  # [mm/day/sqrt(day)]
_SEASON_WALK = 1e-3  # [mm/sqrt(day)]


class Trajectory(AbstractLinearTransition):
    """The motion of one component of one station.

    Attributes:
        walk: Random walk of the level [mm/sqrt(day)].
        markov_sd: Standard deviation of the coloured noise [mm].
        markov_time: Its correlation time [day].
        drift: Drift of the level beside the rate, such as slow slip [mm/day].
    """

    walk: ScalarLike
    markov_sd: ScalarLike
    markov_time: ScalarLike
    drift: ScalarLike = 0.0

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return F for a step of `dt` [day]."""
        n = len(TERMS)
        F = jnp.eye(n).at[LEVEL, RATE].set(dt)
        for at, period in ((ANNUAL, YEAR), (SEMI, YEAR / 2.0)):
            angle = 2.0 * jnp.pi * jnp.asarray(dt, float) / period
            c, s = jnp.cos(angle), jnp.sin(angle)
            F = F.at[at : at + 2, at : at + 2].set(jnp.array([[c, s], [-s, c]]))
        times = (self.markov_time, FAST_TIME, SLOW_TIME)
        for at, time in zip((MARKOV, FAST, SLOW), times, strict=True):
            F = F.at[at, at].set(gauss_markov_decay(time, dt))
        return F

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return the displacement of the level by the drift in `dt` [day]."""
        return jnp.zeros(len(TERMS)).at[LEVEL].set(self.drift * dt)

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q for a step of `dt` [day]."""
        season = random_walk_variance(_SEASON_WALK, dt)
        var = jnp.zeros(len(TERMS))
        var = var.at[LEVEL].set(random_walk_variance(self.walk, dt))
        var = var.at[ANNUAL : SEMI + 2].set(season)
        renewed = gauss_markov_variance(self.markov_sd, self.markov_time, dt)
        Q = jnp.diag(var.at[MARKOV].set(renewed))
        # a rate that walks moves the level too
        rate = random_walk_variance(_RATE_WALK, dt)
        moved = jnp.array([[dt**2 / 3.0, dt / 2.0], [dt / 2.0, 1.0]])
        return Q.at[LEVEL : RATE + 1, LEVEL : RATE + 1].add(rate * moved)

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return F x + b."""
        return self.matrix(dt) @ x + self.offset(u, dt)

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state state"]:
        """Return L with L L^T = Q."""
        return psd_factor(self.noise_cov(dt))


class NetworkParameters(eqx.Module):
    """What is estimated about a network of stations.

    Attributes:
        noise_scale: Scale of the observation noise on an ordinary day [mm].
        walk: Random walk of the level [mm/sqrt(day)].
        markov_sd: Standard deviation of the coloured noise [mm].
        markov_time: Its correlation time [day].
        slip_rate: Drift of the level during slow slip [mm/day].
        onset_rate: Rate at which slow slip begins [1/day].
        end_rate: Rate at which it ends [1/day].
        common_sd: Standard deviation of the common mode [mm].
        common_time: Its correlation time [day].
    """

    noise_scale: Float[Array, "station comp"]
    walk: Float[Array, "station comp"]
    markov_sd: Float[Array, "station comp"]
    markov_time: Float[Array, "station comp"]
    slip_rate: Float[Array, "station comp"]
    onset_rate: Scalar
    end_rate: Scalar
    common_sd: Float[Array, " comp"]
    common_time: Float[Array, " comp"]


class NetworkPrior(eqx.Module):
    """What is assumed about the first day and about steps.

    Attributes:
        level: Level on the first day [mm].
        rate: Secular rate [mm/day].
        level_sd: Its standard deviation [mm].
        rate_sd: Standard deviation of the rate [mm/day].
        season_sd: Of an annual amplitude [mm]; semi-annual ones have half of it.
        kick_sd: Of a step of one component [mm].
        kick_rate: Rate at which a station steps [1/day].
    """

    level: Float[Array, "station comp"]
    rate: Float[Array, "station comp"]
    level_sd: ScalarLike = 20.0
    rate_sd: ScalarLike = 0.05
    season_sd: ScalarLike = 4.0
    kick_sd: ScalarLike = 30.0
    kick_rate: ScalarLike = 1.0 / 3652.5


@kept_jit
def network_model(
    parameters: NetworkParameters, prior: NetworkPrior, tick: ScalarLike = 1.0
) -> NetworkModel:
    """Build the switching state space of a network: quiet, or slipping.

    Args:
        parameters: What is estimated.
        prior: What is assumed.
        tick: Length of one tick [day].

    Returns:
        The model, with mode 0 quiet and mode 1 slipping.
    """

    def series(walk: Scalar, sd: Scalar, time: Scalar, slip: Scalar) -> tuple:
        motion = Trajectory(walk, sd, time, slip)
        return motion.matrix(tick), motion.offset(None, tick), motion.noise_cov(tick)

    p = parameters
    F, slipping, Q = jax.vmap(jax.vmap(series))(
        p.walk, p.markov_sd, p.markov_time, p.slip_rate
    )
    onset, end = 1.0 - jnp.exp(-p.onset_rate * tick), 1.0 - jnp.exp(-p.end_rate * tick)
    switch = jnp.stack([jnp.stack([1.0 - onset, onset]), jnp.stack([end, 1.0 - end])])
    slip_now = onset / (onset + end)
    sds = jnp.array([prior.level_sd, prior.rate_sd], float)
    season = jnp.array([1.0, 1.0, 0.5, 0.5]) * prior.season_sd
    known = jnp.concatenate([sds, season, jnp.zeros(3)])
    initial_var = jnp.broadcast_to(known**2, (*p.walk.shape, len(TERMS)))
    initial_var = initial_var.at[..., MARKOV].set(p.markov_sd**2)
    initial_mean = jnp.zeros_like(initial_var)
    initial_mean = initial_mean.at[..., LEVEL].set(prior.level)
    initial_mean = initial_mean.at[..., RATE].set(prior.rate)
    kick = jnp.zeros(len(TERMS)).at[LEVEL].set(1.0)
    kick = kick.at[FAST : SLOW + 1].set(0.2) * prior.kick_sd
    return NetworkModel(
        F=F,
        b=jnp.stack([jnp.zeros_like(slipping), slipping]),
        Q=jnp.stack([Q, Q]),
        h=jnp.asarray(OBSERVED, F.dtype),
        noise_scale=p.noise_scale,
        initial_mean=initial_mean,
        initial_cov=jax.vmap(jax.vmap(jnp.diag))(initial_var),
        switch=switch,
        initial_probs=jnp.stack([1.0 - slip_now, slip_now]),
        kick_cov=jnp.broadcast_to(jnp.diag(kick**2), F.shape),
        kick_prob=jnp.asarray(1.0 - jnp.exp(-prior.kick_rate * jnp.asarray(tick))),
        common_sd=p.common_sd,
        common_decay=jax.vmap(lambda time: gauss_markov_decay(time, tick))(
            p.common_time
        ),
    )
