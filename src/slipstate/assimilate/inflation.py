"""What puts spread back that a finite ensemble and a nonlinear model lose.

Every ensemble filter takes one of these objects, or a number for `Multiplicative`. It
acts on anomalies: deviations of the members from their mean, over sqrt(members - 1).

References:
    Anderson & Anderson (1999), MWR 127. Zhang, Snyder & Sun (2004), MWR 132 (RTPP).
    Whitaker & Hamill (2012), MWR 140 (RTPS). Anderson (2009), Tellus A 61, in the
    Gaussian form of Miyoshi (2011), MWR 139 (adaptive).
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key, ScalarLike

Anomalies = Float[Array, "ens state"]
Memory = Float[Array, " memory"]
"""What an inflation learns from one update to the next; of length 0 where nothing."""


class AbstractInflation(eqx.Module):
    """A rule that changes anomalies before and after an update."""

    @abstractmethod
    def start(self) -> Memory:
        """Return the memory before the first update."""

    @abstractmethod
    def before(self, X: Anomalies, memory: Memory) -> Anomalies:
        """Return the anomalies that the update starts from."""

    @abstractmethod
    def after(self, prior: Anomalies, X: Anomalies, *, key: Key | None) -> Anomalies:
        """Return the anomalies to go on with, from those before and after."""

    @abstractmethod
    def learn(
        self,
        memory: Memory,
        S: Float[Array, "ens obs"],
        white: Float[Array, " obs"],
        seen: Float[Array, " obs"],
    ) -> Memory:
        """Return the memory after an innovation.

        Args:
            memory: Memory before.
            S: Predicted anomalies, whitened by the noise, as inflated by `before`.
            white: Whitened innovation.
            seen: 1 where observed, else 0.
        """


class AbstractFixedInflation(AbstractInflation):
    """A rule that learns nothing."""

    def start(self) -> Memory:
        """Return nothing."""
        return jnp.zeros(0)

    def learn(
        self,
        memory: Memory,
        S: Float[Array, "ens obs"],
        white: Float[Array, " obs"],
        seen: Float[Array, " obs"],
    ) -> Memory:
        """Return nothing.

        Args:
            memory: Nothing.
            S: Predicted anomalies, whitened by the noise.
            white: Whitened innovation.
            seen: 1 where observed, else 0.
        """
        return memory


class Multiplicative(AbstractFixedInflation):
    """A constant factor on the anomalies.

    Attributes:
        factor: The factor; 1 for none.
        prior: Whether it acts before the update instead of after.
    """

    factor: ScalarLike = 1.0
    prior: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        """Refuse a factor that is not positive."""
        if is_concrete(self.factor) and not float(self.factor) > 0.0:
            raise InputError(
                f"`inflation` must be positive; got {float(self.factor)}. Pass 1 "
                "for none, or 1.02 for a chaotic model without noise."
            )

    def before(self, X: Anomalies, memory: Memory) -> Anomalies:
        """Return factor X where the factor acts before."""
        return self.factor * X if self.prior else X

    def after(self, prior: Anomalies, X: Anomalies, *, key: Key | None) -> Anomalies:
        """Return factor X where the factor acts after."""
        return X if self.prior else self.factor * X


class RelaxSpread(AbstractFixedInflation):
    """Relaxation of the spread of each component to the spread before (RTPS).

    X <- X (1 + alpha (s_before - s_after) / s_after).

    Attributes:
        alpha: Share of the lost spread that is given back, 0 to 1.
    """

    alpha: ScalarLike = 0.5

    def __check_init__(self) -> None:
        """Refuse a share outside 0 to 1."""
        _check_share(self.alpha)

    def before(self, X: Anomalies, memory: Memory) -> Anomalies:
        """Return X."""
        return X

    def after(self, prior: Anomalies, X: Anomalies, *, key: Key | None) -> Anomalies:
        """Return X with the spread of each component relaxed."""
        wide, narrow = jnp.sum(prior**2, axis=0), jnp.sum(X**2, axis=0)
        some = (narrow > 0.0) & (wide > 0.0)
        ratio = jnp.where(some, wide, 1.0) / jnp.where(some, narrow, 1.0)
        return X * (1.0 + self.alpha * (jnp.sqrt(ratio) - 1.0))[None, :]


class RelaxPerturbations(AbstractFixedInflation):
    """Relaxation of the anomalies to those before: (1 - alpha) X + alpha X_b (RTPP).

    Attributes:
        alpha: Share of the anomalies before, 0 to 1.
    """

    alpha: ScalarLike = 0.5

    def __check_init__(self) -> None:
        """Refuse a share outside 0 to 1."""
        _check_share(self.alpha)

    def before(self, X: Anomalies, memory: Memory) -> Anomalies:
        """Return X."""
        return X

    def after(self, prior: Anomalies, X: Anomalies, *, key: Key | None) -> Anomalies:
        """Return the weighted sum."""
        return X + self.alpha * (prior - X)


class Additive(AbstractFixedInflation):
    """Independent noise added to every member, mean zero over the members.

    Attributes:
        sd: Standard deviation of the noise of each component.
    """

    sd: Float[Array, " state"]

    def before(self, X: Anomalies, memory: Memory) -> Anomalies:
        """Return X."""
        return X

    def after(self, prior: Anomalies, X: Anomalies, *, key: Key | None) -> Anomalies:
        """Return X with noise.

        Args:
            prior: Anomalies before the update.
            X: Anomalies after it.
            key: Random key.

        Raises:
            InputError: No key was given.
        """
        if key is None:
            raise InputError("`key` must be a random key for Additive; got None.")
        noise = jax.random.normal(key, X.shape, X.dtype)
        noise = noise - jnp.mean(noise, axis=0, keepdims=True)
        return X + self.sd[None, :] * noise / jnp.sqrt(float(len(X) - 1))


class Adaptive(AbstractInflation):
    """A factor lambda on the prior variance that is itself estimated.

    With n observed scalars, v the whitened innovation and b = trace S S^T for lambda =
    1, the expectation of v^T v is lambda b + n, so that (v^T v - n) / b measures lambda
    with variance 2 / n ((lambda b + n) / b)^2. A scalar Kalman filter joins these, with
    a random walk between updates. lambda stays between `least` and `most`.

    Attributes:
        sd: Standard deviation of lambda before the first update.
        walk: Standard deviation that each update adds.
        least: Least lambda.
        most: Greatest lambda.
    """

    sd: ScalarLike = 0.1
    walk: ScalarLike = 0.01
    least: ScalarLike = 0.9
    most: ScalarLike = 10.0

    def start(self) -> Memory:
        """Return lambda = 1 and its variance."""
        return jnp.stack([jnp.ones(()), jnp.asarray(self.sd, float) ** 2])

    def before(self, X: Anomalies, memory: Memory) -> Anomalies:
        """Return sqrt(lambda) X."""
        return jnp.sqrt(memory[0]) * X

    def after(self, prior: Anomalies, X: Anomalies, *, key: Key | None) -> Anomalies:
        """Return X."""
        return X

    def learn(
        self,
        memory: Memory,
        S: Float[Array, "ens obs"],
        white: Float[Array, " obs"],
        seen: Float[Array, " obs"],
    ) -> Memory:
        """Return mean and variance of lambda after an innovation.

        Args:
            memory: Mean and variance before.
            S: Predicted anomalies, whitened by the noise, inflated.
            white: Whitened innovation.
            seen: 1 where observed, else 0.
        """
        mean, var = memory[0], memory[1] + jnp.asarray(self.walk, float) ** 2
        count, spread = jnp.sum(seen), jnp.sum(S**2) / mean
        some = (count > 0.0) & (spread > 0.0)
        n, b = jnp.where(some, count, 1.0), jnp.where(some, spread, 1.0)
        # b may be tiny: gain and shift are formed without dividing by it
        noise = 2.0 / n * (mean * b + n) ** 2
        total = b * b * var + noise
        shift = b * var * (jnp.sum(white**2) - n - b * mean) / total
        new = jnp.stack(
            [jnp.clip(mean + shift, self.least, self.most), var * noise / total]
        )
        return jnp.where(some, new, memory)


def as_inflation(given: ScalarLike | AbstractInflation) -> AbstractInflation:
    """Return a rule, `Multiplicative` where a number was given."""
    return given if isinstance(given, AbstractInflation) else Multiplicative(given)


def _check_share(alpha: ScalarLike) -> None:
    if is_concrete(alpha) and not 0.0 <= float(alpha) <= 1.0:
        raise InputError(
            f"`alpha` must be between 0 and 1; got {float(alpha)}. Pass 0.5."
        )
