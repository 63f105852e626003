"""What happened between two observations: the bridge over the model's own noise.

A window from one observation to the next is cut into steps. Members are moved through
it and leave a cloud x_i^k at each knot, on which the model's transition density is a
Markov chain,

    K_ij = q(x_j^{k+1} | x_i^k) / sum_i' q(x_j^{k+1} | x_i'^k),   rows scaled to one.

What the observation at the end says travels back as psi_k = K psi_{k+1}, Doob's
h-transform: paths of the chain K_ij psi_{k+1}(j) / psi_k(i) are paths of the model
given the observation, and in continuous space the drift gains L L^T grad log psi / dt.
So the time at which a fault let go between two observations has a distribution.

Two laws of the start are offered. Bayes' revises it: members that fit what came later
count for more, psi_K = likelihood. Schroedinger's leaves every member its weight and
bends all of them, psi_K = the potential that Sinkhorn's sweeps find; among all laws
with the filter's marginals at both ends it is the closest to the model's.

References:
    Reich (2019), Data assimilation: the Schroedinger perspective, Acta Numerica 28,
    section 3. Doob (1957), Conditional Brownian motion. Gottwald & Reich (2021).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.bridge.transport import log_sinkhorn
from slipstate.ground.arrays import is_concrete
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import gaussian_log_density
from slipstate.systems.protocol import AbstractTransition, Input

LogLikelihood = Callable[[Float[Array, " state"]], Scalar]
"""What the observation at the end of the window says of a state [nats]."""

_FAR = -1e4  # log density of a pair that no step joins


class BridgedWindow(eqx.Module):
    """The model between two observations, given both.

    Attributes:
        clouds: States at every knot, the start included.
        log_kernels: log K of every step.
        log_psi: log psi at every knot.
        log_start: Log probability of every starting member.
        log_evidence: Log density of the observation at the end [nats].
        missed: What Sinkhorn's sweeps missed; 0 under Bayes' law.
        transition: The model.
        u: Exogenous input.
        step: Length of a step.
    """

    clouds: Float[Array, "knot ens state"]
    log_kernels: Float[Array, "step ens ens"]
    log_psi: Float[Array, "knot ens"]
    log_start: Float[Array, " ens"]
    log_evidence: Scalar
    missed: Scalar
    transition: AbstractTransition
    u: Input
    step: Scalar

    def log_steps(self) -> Float[Array, "step ens ens"]:
        """Return the log probability of each next state given each state."""
        joint = self.log_kernels + self.log_psi[1:, None, :]
        return jax.nn.log_softmax(joint, axis=2)

    def marginals(self) -> Float[Array, "knot ens"]:
        """Return the probability of each state of each cloud."""

        def advance(p: Array, log_step: Array) -> tuple[Array, Array]:
            p = p @ jnp.exp(log_step)
            return p, p

        first = jnp.exp(self.log_start)
        later = jax.lax.scan(advance, first, self.log_steps())[1]
        return jnp.concatenate([first[None], later])

    def paths(self, count: int, *, key: Key) -> Float[Array, "path knot state"]:
        """Draw paths through the window.

        Args:
            count: How many.
            key: Random key.

        Returns:
            States at every knot; the probabilities of `marginals`, joined in time.
        """
        key_first, key_steps = jax.random.split(key)
        first = jax.random.categorical(key_first, self.log_start, shape=(count,))

        def advance(label: Array, row: tuple[Array, Key]) -> tuple[Array, Array]:
            label = jax.random.categorical(row[1], row[0][label], axis=1)
            return label, label

        keys = jax.random.split(key_steps, len(self.log_kernels))
        later = jax.lax.scan(advance, first, (self.log_steps(), keys))[1]
        labels = jnp.concatenate([first[None], later])
        chosen = jax.vmap(lambda cloud, label: cloud[label])(self.clouds, labels)
        return jnp.swapaxes(chosen, 0, 1)

    def first_passage(
        self, reached: Callable[[Float[Array, " state"]], Bool[Array, ""]]
    ) -> Float[Array, " knot"]:
        """Return when a set of states is first reached.

        Args:
            reached: Whether a state belongs to the set.

        Returns:
            Probability that the first visit is at each knot; one less their sum is the
            probability of none.
        """
        inside = jax.vmap(jax.vmap(reached))(self.clouds)

        def advance(p: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            p = p @ jnp.exp(row[0])
            return jnp.where(row[1], 0.0, p), jnp.sum(jnp.where(row[1], p, 0.0))

        first = jnp.exp(self.log_start)
        begin = jnp.where(inside[0], 0.0, first)
        later = jax.lax.scan(advance, begin, (self.log_steps(), inside[1:]))[1]
        at_once = jnp.sum(jnp.where(inside[0], first, 0.0))
        return jnp.concatenate([at_once[None], later])

    def drift(self, knot: int, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """Return what the h-transform adds to the drift, per unit of time.

        Args:
            knot: The knot, before the last.
            x: State there.

        Returns:
            L L^T grad log psi / dt at x, with L the noise factor of one step.
        """
        ahead = self.clouds[knot + 1]
        reference = jax.nn.logsumexp(
            self._log_density(ahead, self.clouds[knot]), axis=0
        )

        def log_psi(x: Array) -> Array:
            logs = self._log_density(ahead, x[None])[0]
            return jax.nn.logsumexp(logs - reference + self.log_psi[knot + 1])

        L = self.transition.noise_factor(x, self.u, self.step)
        return L @ (L.T @ jax.grad(log_psi)(x)) / self.step

    def _log_density(
        self, ahead: Float[Array, "to state"], here: Float[Array, "from state"]
    ) -> Float[Array, "from to"]:
        return step_log_density(self.transition, ahead, here, self.u, self.step)


def bridge_window(
    transition: AbstractTransition,
    members: Float[Array, "ens state"],
    dt: ScalarLike,
    log_likelihood: LogLikelihood,
    *,
    steps: int = 20,
    pinned: bool = False,
    u: Input = None,
    sweeps: int = 100,
    key: Key,
) -> BridgedWindow:
    """Condition the model between two observations on the second.

    Costs `steps` times the square of the members. Several copies of each member make
    clouds denser.

    Args:
        transition: The model; its noise must reach every direction.
        members: Equally likely states at the start, after the first observation.
        dt: Length of the window.
        log_likelihood: Log density of the observation at the end, of a state there.
        steps: Number of steps, each with Gaussian noise.
        pinned: Whether the start keeps its weights (Schroedinger); otherwise what
            came later revises it (Bayes).
        u: Exogenous input.
        sweeps: Number of Sinkhorn's sweeps where `pinned`.
        key: Random key.

    Returns:
        The window.

    Raises:
        InputError: `steps` is not positive.
        MethodError: The model has no noise in some direction.
    """
    if steps < 1:
        raise InputError(f"`steps` must be at least 1; got {steps}. Pass 20.")
    step = jnp.asarray(dt, members.dtype) / steps
    factor = transition.noise_factor(members[0], u, step)
    if is_concrete(factor):
        rank = np.linalg.matrix_rank(np.asarray(factor)) if factor.size else 0
        if rank < members.shape[1]:
            raise MethodError(
                f"`transition` must have noise in all {members.shape[1]} directions; "
                f"it has noise in {rank}. Add model noise, or use BridgeFilter."
            )
    return _solve(
        transition, members, step, log_likelihood, steps, pinned, u, sweeps, key
    )


@eqx.filter_jit
def _solve(
    transition: AbstractTransition,
    members: Float[Array, "ens state"],
    step: Scalar,
    log_likelihood: LogLikelihood,
    steps: int,
    pinned: bool,
    u: Input,
    sweeps: int,
    key: Key,
) -> BridgedWindow:
    count = len(members)

    def advance(x: Array, key: Key) -> tuple[Array, tuple[Array, Array]]:
        def move(x: Array, key: Key) -> Array:
            L = transition.noise_factor(x, u, step)
            draw = jax.random.normal(key, L.shape[-1:], x.dtype)
            return transition.mean(x, u, step) + L @ draw

        ahead = jax.vmap(move)(x, jax.random.split(key, count))
        logs = step_log_density(transition, ahead, x, u, step)
        return ahead, (ahead, _relative(logs))

    keys = jax.random.split(key, steps)
    later, kernels = jax.lax.scan(advance, members, keys)[1]
    clouds = jnp.concatenate([members[None], later])
    last = jax.vmap(log_likelihood)(clouds[-1])
    last = jnp.where(jnp.isfinite(last), last, _FAR)
    equal = jnp.full(count, -jnp.log(1.0 * count), members.dtype)
    missed = jnp.zeros((), members.dtype)

    def back(psi: Array, kernel: Array) -> tuple[Array, Array]:
        psi = jax.nn.logsumexp(kernel + psi[None, :], axis=1)
        return psi, psi

    def pull(last: Array) -> Array:
        earlier = jax.lax.scan(back, last, kernels, reverse=True)[1]
        return jnp.concatenate([earlier, last[None]])

    log_psi = pull(last)
    log_evidence = jax.nn.logsumexp(log_psi[0] + equal)
    start = jax.nn.log_softmax(log_psi[0])
    if pinned:
        # from which member to which end, in one stride
        whole = jax.lax.scan(
            lambda G, K: (G @ jnp.exp(K), None), jnp.eye(count), kernels
        )[0]
        log_whole = jnp.maximum(jnp.log(jnp.maximum(whole, 1e-300)), _FAR)
        arrive = jax.nn.logsumexp(log_whole + equal[:, None], axis=0)
        target = jax.nn.log_softmax(arrive + last)
        plan = log_sinkhorn(log_whole, equal, target, sweeps)
        log_psi = pull(plan.column_potential)
        start, missed = equal, plan.error
    return BridgedWindow(
        clouds, kernels, log_psi, start, log_evidence, missed, transition, u, step
    )


def _relative(logs: Float[Array, "from to"]) -> Float[Array, "from to"]:
    """Return log densities relative to the cloud they lead to, rows summing to one."""
    reference = jax.nn.logsumexp(logs, axis=0, keepdims=True)
    return jax.nn.log_softmax(logs - reference, axis=1)


def step_log_density(
    transition: AbstractTransition,
    ahead: Float[Array, "to state"],
    here: Float[Array, "from state"],
    u: Input,
    step: ScalarLike,
) -> Float[Array, "from to"]:
    """Return log q(x' | x) of one Gaussian step for all pairs, finite.

    Args:
        transition: The model.
        ahead: States x' after the step.
        here: States x before it.
        u: Exogenous input.
        step: Its length.

    Returns:
        Log densities [nats], cut off where nothing joins a pair.
    """

    def row(x: Array) -> Array:
        mean = transition.mean(x, u, step)
        L = transition.noise_factor(x, u, step)
        cov = L @ L.T
        each = jax.vmap(lambda x_next: gaussian_log_density(x_next - mean, cov))(ahead)
        return jnp.maximum(each, _FAR)

    return jax.vmap(row)(here)
