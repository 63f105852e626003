"""Three ways to make an observation linear in e ~ N(0, I): y = c + J e + N(0, extra).

A component of the mixture is a small normal distribution, m + F e, so an observation
that is far from linear over the whole ensemble may be nearly linear over one component.
Each rule is a small frozen record:

    Jacobian()               the tangent at the mean
    SigmaPoints()            statistical linear regression: best line on average
    Iterated(rule, rounds)   the rule again at the posterior, as Gauss and Newton do

References:
    Garcia-Fernandez, Svensson, Morelande & Sarkka (2015), Posterior linearization
    filter: principles and implementation using sigma points, IEEE Trans. Signal
    Processing 63.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.ground.arrays import is_concrete
from slipstate.ground.elimination import decorrelate, psd_root
from slipstate.ground.errors import InputError

Observe = Callable[[Float[Array, " latent"]], Float[Array, " obs"]]
"""The noise-free observation as a function of e."""


class Line(eqx.Module):
    """An observation made linear, y = c + J e + N(0, extra).

    Attributes:
        c: Prediction at e = 0 along the line.
        J: Slope.
        extra: Covariance of what the line leaves over.
        finite: Whether the observation gave numbers where it was asked.
    """

    c: Float[Array, " obs"]
    J: Float[Array, "obs latent"]
    extra: Float[Array, "obs obs"]
    finite: Bool[Array, ""]


class Conditioned(eqx.Module):
    """N(0, I) given a linear observation; H = white J has covariance-one noise.

    Attributes:
        mean: Posterior mean of e.
        J: Slope of the line used.
        H: Slope after whitening by the innovation covariance: cov = I - H^T H.
        gain: K with mean = K (y - c).
        noise: Factor of the noise, what the line leaves over included.
        log_weight: Log density of the observation [nats].
        finite: Whether the observation gave numbers.
    """

    mean: Float[Array, " latent"]
    J: Float[Array, "obs latent"]
    H: Float[Array, "obs latent"]
    gain: Float[Array, "latent obs"]
    noise: Float[Array, "obs obs"]
    log_weight: Float[Array, ""]
    finite: Bool[Array, ""]

    def draw(
        self, e: Float[Array, " latent"], v: Float[Array, " obs"]
    ) -> Float[Array, " latent"]:
        """Return a draw of the posterior less its mean, from standard normal e, v."""
        return e - self.gain @ (self.J @ e + self.noise @ v)


class AbstractLinearisation(eqx.Module):
    """A rule that makes an observation linear."""

    @abstractmethod
    def condition(
        self,
        observe: Observe,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        R: Float[Array, "obs obs"],
        like: Float[Array, " latent"],
    ) -> Conditioned:
        """Return N(0, I) given y = observe(e) + N(0, R) where `mask` is True.

        Args:
            observe: The observation.
            y: What was observed; finite everywhere.
            mask: True where observed.
            R: Noise covariance, identity where masked.
            like: Zeros of the shape of e.
        """


class AbstractRule(AbstractLinearisation):
    """A rule that looks at the observation around one place only."""

    @abstractmethod
    def line(
        self,
        observe: Observe,
        at: Float[Array, " latent"],
        cov: Float[Array, "latent latent"] | None,
    ) -> Line:
        """Return the line fitted around `at` with spread `cov`; None for one."""

    def condition(
        self,
        observe: Observe,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        R: Float[Array, "obs obs"],
        like: Float[Array, " latent"],
    ) -> Conditioned:
        """Return N(0, I) given the line of `observe` over it, or at its mean."""
        return condition_line(self.line(observe, like, None), y, mask, R)


class Jacobian(AbstractRule):
    """The tangent at the mean of the component."""

    def line(
        self,
        observe: Observe,
        at: Float[Array, " latent"],
        cov: Float[Array, "latent latent"] | None,
    ) -> Line:
        """Return the tangent of `observe` at `at`."""
        y, J = observe(at), jax.jacfwd(observe)(at)
        extra = jnp.zeros((len(y), len(y)), y.dtype)
        return _checked(y, J, extra, at)


class SigmaPoints(AbstractRule):
    """Statistical linear regression over 2 n points, or 2 n + 1 where n < 3.

    Exact for quadratic observations of up to three independent directions; what the
    line leaves over counts as noise, so sharp curvature makes an observation vaguer
    instead of wrong.
    """

    def line(
        self,
        observe: Observe,
        at: Float[Array, " latent"],
        cov: Float[Array, "latent latent"] | None,
    ) -> Line:
        """Return the regression line over N(at, cov)."""
        n = len(at)
        spread = max(n, 3)  # points at sqrt(3) for few directions, sqrt(n) for many
        eye = jnp.eye(n, dtype=at.dtype)
        root = eye if cov is None else psd_root(cov)
        step = jnp.sqrt(jnp.asarray(spread, at.dtype)) * root.T
        ahead = jax.vmap(observe)(at[None, :] + step)
        behind = jax.vmap(observe)(at[None, :] - step)
        weight = 0.5 / spread
        centre = observe(at)
        mean = weight * jnp.sum(ahead + behind, 0) + (1.0 - n / spread) * centre
        apart = (centre - mean)[None, :]
        ahead, behind = ahead - mean[None, :], behind - mean[None, :]
        slope = (ahead - behind) / (2.0 * jnp.sqrt(jnp.asarray(spread, at.dtype)))
        spread_cov = weight * (ahead.T @ ahead + behind.T @ behind)
        spread_cov = spread_cov + (1.0 - n / spread) * apart.T @ apart
        left_over = spread_cov - slope.T @ slope
        if cov is None:
            return _checked(mean, slope.T, left_over, at)
        pivots, inverse = decorrelate(cov, eye)
        alive = pivots > 0.0
        size = jnp.sqrt(jnp.where(alive, pivots, 1.0))
        J = slope.T @ (inverse * jnp.where(alive, 1.0 / size, 0.0)[:, None])
        return _checked(mean, J, left_over, at)


class Iterated(AbstractLinearisation):
    """A rule applied again at the posterior it leads to.

    Attributes:
        rule: The rule.
        rounds: How many times, at least 2; fixed, so that a round always costs the
            same.
    """

    rule: AbstractRule = Jacobian()
    rounds: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        """Refuse a number of rounds that iterates nothing."""
        if is_concrete(self.rounds) and self.rounds < 2:
            raise InputError(
                f"`rounds` must be at least 2; got {self.rounds}. Pass the rule itself "
                "for one round."
            )

    def condition(
        self,
        observe: Observe,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        R: Float[Array, "obs obs"],
        like: Float[Array, " latent"],
    ) -> Conditioned:
        """Return N(0, I) given the line at the posterior."""
        found = self.rule.condition(observe, y, mask, R, like)
        eye = jnp.eye(len(like), dtype=like.dtype)
        for _ in range(self.rounds - 1):
            cov = eye - found.H.T @ found.H
            line = self.rule.line(observe, found.mean, cov)
            again = condition_line(line, y, mask, R)
            # a step into nowhere is not taken
            found = jax.tree.map(
                lambda new, old, good=line.finite: jnp.where(good, new, old),
                again,
                found,
            )
        return found


def condition_line(
    line: Line,
    y: Float[Array, " obs"],
    mask: Bool[Array, " obs"],
    R: Float[Array, "obs obs"],
) -> Conditioned:
    """Condition N(0, I) on a linear observation.

    Args:
        line: The observation.
        y: What was observed.
        mask: True where observed.
        R: Noise covariance, identity where masked.

    Returns:
        The posterior. An observation that is no number leaves the prior and has the
        log weight minus infinity.
    """
    seen = mask.astype(y.dtype)
    J = line.J * seen[:, None]
    residual = jnp.where(mask, y - line.c, 0.0)
    noise_cov = R + line.extra * seen[:, None] * seen[None, :]
    S = J @ J.T + noise_cov
    pivots, inverse = decorrelate(S, jnp.eye(len(y), dtype=y.dtype))
    usable = pivots > 0.0
    size = jnp.where(usable, pivots, 1.0)
    white = inverse * jnp.where(usable, 1.0 / jnp.sqrt(size), 0.0)[:, None]
    H, r = white @ J, white @ residual
    count = jnp.sum(seen)
    log_weight = -0.5 * (
        jnp.sum(r * r) + jnp.sum(jnp.log(size)) + count * jnp.log(2.0 * jnp.pi)
    )
    return Conditioned(
        H.T @ r, J, H, H.T @ white, psd_root(noise_cov), log_weight, line.finite
    )


def _checked(
    y: Float[Array, " obs"],
    J: Float[Array, "obs latent"],
    extra: Float[Array, "obs obs"],
    at: Float[Array, " latent"],
) -> Line:
    """Return the line through (at, y) with slope J; zeros where it is no number."""
    real = lambda x: jnp.where(jnp.isfinite(x), x, 0.0)
    finite = jnp.all(jnp.isfinite(y)) & jnp.all(jnp.isfinite(J))
    J = real(J)
    return Line(real(y) - J @ at, J, real(extra), finite & jnp.all(jnp.isfinite(extra)))
