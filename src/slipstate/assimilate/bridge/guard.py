"""What is checked before an update: members that are numbers, innovations that fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.bridge.linearise import Observe
from slipstate.ground.types import Scalar, ScalarLike

_SIGNIFICANT = 3.72  # standard deviations of a normal number: one in ten thousand


class Predicted(eqx.Module):
    """What an ensemble predicts of an observation.

    Attributes:
        innovation: Observation minus mean prediction; 0 where masked.
        signal: Sample covariance of the predictions, without noise.
    """

    innovation: Float[Array, " obs"]
    signal: Float[Array, "obs obs"]


def replace_lost(
    members: Float[Array, "ens state"],
) -> tuple[Float[Array, "ens state"], Bool[Array, " ens"]]:
    """Put the mean of the others in the place of members that are no numbers.

    Args:
        members: The members.

    Returns:
        Finite members, and whether each is itself.
    """
    present = jnp.all(jnp.isfinite(members), axis=1)
    kept = jnp.where(present[:, None], members, 0.0)
    mean = jnp.sum(kept, axis=0) / jnp.maximum(jnp.sum(present), 1).astype(kept.dtype)
    return jnp.where(present[:, None], kept, mean[None, :]), present


def predict_observation(
    observe: Observe,
    members: Float[Array, "ens state"],
    present: Bool[Array, " ens"],
    y: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
) -> Predicted:
    """Return innovation and covariance of the predictions that are numbers.

    Args:
        observe: The noise-free observation of a state.
        members: The members, finite.
        present: Whether each takes part.
        y: What was observed; finite everywhere.
        mask: True where observed.

    Returns:
        What the ensemble predicts.
    """
    predictions = jax.vmap(observe)(members)
    good = present & jnp.all(jnp.isfinite(predictions) | ~mask[None, :], axis=1)
    kept = good[:, None] & jnp.isfinite(predictions)
    values = jnp.where(kept, predictions, 0.0)
    count = jnp.sum(good).astype(values.dtype)
    mean = jnp.sum(values, axis=0) / jnp.maximum(count, 1.0)
    apart = jnp.where(kept, values - mean[None, :], 0.0)
    signal = apart.T @ apart / jnp.maximum(count - 1.0, 1.0)
    return Predicted(jnp.where(mask, y - mean, 0.0), signal)


def innovation_guard(
    predicted: Predicted,
    R: Float[Array, "obs obs"],
    mask: Bool[Array, " obs"],
    cap: ScalarLike,
) -> tuple[Scalar, Scalar]:
    """Return how surprising an innovation is, and what spread would explain it.

    The mean over p observed components of squared innovation over variance is, were
    they independent, chi-squared over p. Where less than one in ten thousand is as
    large (by the cube root of Wilson and Hilferty), the forecast covariance is
    multiplied by what makes the mean 1 to first order. A guard that fires more often
    costs more than it saves.

    Args:
        predicted: Innovation and covariance of the predictions.
        R: Noise covariance.
        mask: True where observed.
        cap: Largest factor; 1 for none.

    Returns:
        The mean, and the factor, at least 1.

    References:
        Wilson & Hilferty (1931), The distribution of chi-square, PNAS 17.
    """
    signal, noise = jnp.diagonal(predicted.signal), jnp.diagonal(R)
    variance = signal + noise
    seen = mask & (variance > 0.0)
    safe = jnp.where(seen, variance, 1.0)
    count = jnp.maximum(jnp.sum(seen), 1).astype(safe.dtype)
    mean = lambda x: jnp.sum(jnp.where(seen, x / safe, 0.0)) / count
    surprise = mean(predicted.innovation**2)
    cube = 2.0 / (9.0 * count)
    bound = (1.0 - cube + _SIGNIFICANT * jnp.sqrt(cube)) ** 3
    share = mean(signal)
    positive = share > 0.0
    wanted = (surprise - mean(noise)) / jnp.where(positive, share, 1.0)
    growth = jnp.clip(wanted, 1.0, jnp.asarray(cap, safe.dtype))
    return surprise, jnp.where(positive & (surprise > bound), growth, 1.0)
