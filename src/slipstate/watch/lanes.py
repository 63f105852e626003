"""The evidence of points of many series, in groups of lanes shared by the cores."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate.evidence import Lanes, Links, lane, lane_log_likelihoods
from slipstate.earth.trajectory import NetworkParameters, NetworkPrior, network_model
from slipstate.ground.kept_programs import kept_jit

LANES = 24
"""Lanes in a group. Groups are of one size, so any network is the same program."""

Terms = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Log-likelihood terms (some, point, time) of points of some series, by number."""


@contextmanager
def lane_evidence(
    data: tuple[np.ndarray, ...], tick: float, heard: Links
) -> Iterator[Terms]:
    """Offer the evidence of single series of a network.

    Args:
        data: Level, rate and direction of slip of every series, then observations,
            mask, scale of the noise and steps (series, time).
        tick: Length of a tick [day].
        heard: Where the state matrix is not zero.

    Yields:
        A function of points (some, point, parameter) and numbers of series (some).
    """
    programs: list[Callable[..., Array]] = []
    days = np.asarray(tick, float)

    def terms(theta: np.ndarray, which: np.ndarray) -> np.ndarray:
        points = theta.reshape(-1, theta.shape[-1])
        owner = np.repeat(which, theta.shape[1])
        groups = [
            np.resize(np.arange(at, min(at + LANES, len(points))), LANES)
            for at in range(0, len(points), LANES)
        ]
        given = jax.device_put(
            [(points[k], tuple(x[owner[k]] for x in data), days) for k in groups]
        )
        if not programs:
            # compiled once, before the threads could each do it
            first = given[0]
            programs.append(_terms.compiled(first[0], first[1], first[2], heard))
        run = programs[0]
        found = pool.map(lambda x: np.asarray(run(x[0], x[1], x[2], heard)), given)
        return np.concatenate(list(found))[: len(points)].reshape(*theta.shape[:2], -1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield terms


@kept_jit
def _terms(
    theta: Float[Array, "lane parameter"],
    data: tuple[Array, ...],
    tick: Float[Array, ""],
    heard: Links,
) -> Float[Array, "lane time"]:
    """Return the log-likelihood terms of one point a lane."""
    level, rate, direction, *series = data

    def build(theta: Array, level: Array, rate: Array, direction: Array) -> Lanes:
        cell = lambda x: jnp.reshape(x, (1, 1))
        parameters = NetworkParameters(
            *(cell(jnp.exp(theta[k])) for k in range(4)),
            slip_rate=cell(direction * jnp.exp(theta[4])),
            onset_rate=jnp.exp(theta[5]),
            end_rate=jnp.exp(theta[6]),
            common_sd=jnp.zeros(1),
            common_time=jnp.ones(1),
        )
        prior = NetworkPrior(cell(level), cell(rate))
        return lane(network_model(parameters, prior, tick))

    models = jax.vmap(build, out_axes=-1)(theta, level, rate, direction)
    return lane_log_likelihoods(models, heard, *(x.T for x in series)).T
