"""Gaussian mixtures of one variable: moments, distribution function, quantiles.

A forecast of a switching model is a mixture p(y) = sum_i w_i N(y; m_i, s_i^2); a
Gaussian is the mixture with one component. Weights sum to one along the last axis.
Everything but the quantiles takes NumPy or JAX arrays and answers in kind, so the same
line serves inside a compiled filter and in a table made afterwards.
"""

from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError

if TYPE_CHECKING:  # no static checker follows two array libraries; tests check these
    Arrays = Any
    Values = Any
else:
    Arrays = Float[Array, "..."] | Float[np.ndarray, "..."]
    """An array of either array library."""

    Values = Arrays | float
    """Numbers of either array library; shapes broadcast."""

_LOG_SQRT_2PI = 0.5 * np.log(2.0 * np.pi)
_CHUNK = 4096  # points treated at once; their temporaries stay in the cache
_MAX_STEPS = 250  # the plain bisection of a bracket of doubles takes half of this


def array_library(*values: Any) -> ModuleType:
    """Return jax.numpy where one of `values` lives on the device, else numpy."""
    return jnp if any(isinstance(value, jax.Array) for value in values) else np


def normal_density(z: Values) -> Values:
    """Return the standard normal density exp(-z^2 / 2) / sqrt(2 pi)."""
    return array_library(z).exp(-0.5 * z * z - float(_LOG_SQRT_2PI))


def normal_distribution(z: Values) -> Values:
    """Return the standard normal distribution function Phi(z)."""
    if isinstance(z, jax.Array):
        return jax.scipy.special.ndtr(z)
    return scipy.special.ndtr(z)


def mixture_moments(
    weights: Arrays, means: Arrays, sds: Arrays
) -> tuple[Values, Values]:
    """Return mean and standard deviation of a Gaussian mixture.

    m = sum w_i m_i,  s^2 = sum w_i (s_i^2 + (m_i - m)^2).

    Args:
        weights: w, components along the last axis, summing to one.
        means: m_i [unit of the variable].
        sds: s_i [unit of the variable].

    Returns:
        Mean and standard deviation, the last axis gone.
    """
    mean = (weights * means).sum(-1)
    variance = (weights * (sds * sds + (means - mean[..., None]) ** 2)).sum(-1)
    return mean, array_library(variance).sqrt(variance)


def mixture_distribution(
    y: Values, weights: Arrays, means: Arrays, sds: Arrays
) -> Values:
    """Return F(y) = sum w_i Phi((y - m_i) / s_i), the PIT of an observation y.

    Args:
        y: Where to evaluate; one axis less than `means`.
        weights: w, components along the last axis.
        means: m_i, components along the last axis.
        sds: s_i > 0, components along the last axis.

    Returns:
        Probability not to exceed y.
    """
    library = array_library(y, weights, means, sds)
    z = (library.asarray(y)[..., None] - means) / sds
    return (weights * normal_distribution(z)).sum(-1)


def mixture_log_density(
    y: Values, weights: Arrays, means: Arrays, sds: Arrays
) -> Values:
    """Return log sum w_i N(y; m_i, s_i^2) [nats], without underflow far out.

    Args:
        y: Where to evaluate; one axis less than `means`.
        weights: w, components along the last axis; zero is allowed.
        means: m_i, components along the last axis.
        sds: s_i > 0, components along the last axis.

    Returns:
        The log density.
    """
    library = array_library(y, weights, means, sds)
    z = (library.asarray(y)[..., None] - means) / sds
    exponent = -0.5 * z * z - library.log(sds) - float(_LOG_SQRT_2PI)
    # components without weight must not set the scale of the sum
    top = library.where(weights > 0, exponent, -np.inf).max(-1)
    relative = library.exp(library.minimum(exponent - top[..., None], 0.0))
    return top + library.log((weights * relative).sum(-1))


def mixture_quantiles(
    probabilities: Values, weights: Arrays, means: Arrays, sds: Arrays
) -> Float[np.ndarray, "*batch quantile"]:
    """Return the quantiles of many Gaussian mixtures at once, on the host.

    Solves F(x) = p by Halley steps inside a bracket that always holds the root (the
    smallest and the largest quantile of the components) and shrinks at every step; a
    step that would leave it, or fails to shrink it, is replaced by a bisection.

    Args:
        probabilities: p, strictly between 0 and 1; one axis.
        weights: w, components along the last axis, summing to one.
        means: m_i, components along the last axis.
        sds: s_i > 0, components along the last axis.

    Returns:
        x with F(x) = p to about 1e-12 standard deviations; NaN where the input is.

    Raises:
        InputError: A probability outside (0, 1).
    """
    levels = np.atleast_1d(np.asarray(probabilities, dtype=np.float64))
    if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
        raise InputError(
            f"`probabilities` must be one axis of numbers in (0, 1); got {levels}. "
            "The ends of a Gaussian mixture lie at infinity: ask for 0.001 instead."
        )
    w, m, s = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (weights, means, sds))
    )
    batch, parts = m.shape[:-1], m.shape[-1]
    w, m, s = (value.reshape(-1, parts) for value in (w, m, s))
    found = np.full((w.shape[0], levels.size), np.nan)
    whole = np.flatnonzero(np.isfinite(w + m + s).all(-1) & (s > 0).all(-1))
    for start in range(0, whole.size, _CHUNK):
        rows = whole[start : start + _CHUNK]
        for column, level in enumerate(levels):
            found[rows, column] = _solve(level, w[rows], m[rows], s[rows])
    return found.reshape(*batch, levels.size)


def _solve(
    level: float, w: np.ndarray, m: np.ndarray, s: np.ndarray
) -> Float[np.ndarray, " row"]:
    """Return one quantile of each row; rows leave the iteration as they converge."""
    corners = m + s * scipy.special.ndtri(level)
    # a component without weight must not widen the bracket
    low = np.where(w > 0, corners, np.inf).min(-1)
    high = np.where(w > 0, corners, -np.inf).max(-1)
    mean, spread = mixture_moments(w, m, s)
    x = np.clip(mean + spread * scipy.special.ndtri(level), low, high)
    answer = x.copy()
    left = np.arange(x.size)
    scaled, rate, finest = w / s, 1.0 / s, 1e-5 * s.min(-1)
    for count in range(_MAX_STEPS):
        z = (x[:, None] - m) * rate
        gauss = scaled * np.exp(-0.5 * z * z - _LOG_SQRT_2PI)
        excess = (w * scipy.special.ndtr(z)).sum(-1) - level
        density = gauss.sum(-1)
        slope = -(gauss * z * rate).sum(-1)
        low, high = np.where(excess <= 0, x, low), np.where(excess >= 0, x, high)
        divisor = 2.0 * density * density - excess * slope
        ok = (divisor > 0) & (density > 1e-280)  # below, rounding makes steps of 0
        step = -2.0 * excess * density / np.where(ok, divisor, 1.0)
        trial = x + step
        # cubic convergence: after a step this small the error is far below rounding
        done = (ok & (np.abs(step) <= finest)) | (high - low <= 4e-16 * np.abs(x))
        # past the usual handful of steps every second one halves the bracket for sure
        halve = ~ok | (trial <= low) | (trial >= high) | (count >= 8 and count % 2 > 0)
        x = np.where(halve & ~done, 0.5 * (low + high), np.where(ok, trial, x))
        answer[left] = x
        keep = ~done
        if not keep.any():
            break
        x, low, high, finest = x[keep], low[keep], high[keep], finest[keep]
        w, m, left, scaled, rate = (v[keep] for v in (w, m, left, scaled, rate))
    return answer
