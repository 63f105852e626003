"""The lag operator: one inner product turns basis, clock, hold and boundary into A, B.

Between t0 and t1 the domain splits into a remembered part, onto which the old basis is
dragged, and a created part, which the held input fills:

    A[n, m] = int_remembered p_n(z) p_m(Phi(z)) w dz
    B[n, j] = int_created    p_n(z) lambda_j(z) w dz

A and B are the same inner product on the two pieces. Everything else a step needs
(energies, what the projection loses) is measured on the same nodes.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.memory.basis import AbstractBasis
from slipstate.memory.boundary import AbstractBoundary
from slipstate.memory.clock import AbstractClock
from slipstate.memory.hold import AbstractHold


class Transition(eqx.Module):
    """One step of a memory: c' = A c + B u.

    Attributes:
        A: (mode, mode).
        B: (mode,), or (mode, 2) for the older and the newer sample of `LinearHold`.
        keep: Factor of the energy of the old past; exact for closed pairs, an upper
            bound in the majorant measure otherwise.
        energy: (input, input) form that gives the energy of the new cell.
    """

    A: Float[Array, "mode mode"]
    B: Float[Array, "mode *input"]
    keep: Float[Array, ""]
    energy: Float[Array, "input input"]

    def apply(
        self, c: Float[Array, "mode channel"], u: Float[Array, "input channel"]
    ) -> Float[Array, "mode channel"]:
        """Return A c + B u for the samples that enter the cell."""
        b = self.B[:, None] if self.B.ndim == 1 else self.B
        return self.A @ c + b @ u


class Residual(eqx.Module):
    """What a step loses, measured at the nodes of the lag operator.

    Rows are nodes, weighted by the root of the majorant measure.

    Attributes:
        old: Old functions on the remembered part.
        new: New functions on the remembered part, then on the created part.
        hold: Weights of the samples on the created part.
    """

    old: Float[Array, "node mode"]
    new: Float[Array, "nodes mode"]
    hold: Float[Array, "made input"]

    def loss(
        self,
        before: Float[Array, "mode channel"],
        u: Float[Array, "input channel"],
        after: Float[Array, "mode channel"],
    ) -> Float[Array, " channel"]:
        """Return |L f + new - f'|, the distance between what was due and what is."""
        due = jnp.concatenate([self.old @ before, self.hold @ u])
        gap = due - self.new @ after
        rounding = 4.0 * jnp.finfo(gap.dtype).eps * jnp.sqrt(jnp.sum(due**2, axis=0))
        return jnp.sqrt(jnp.sum(gap**2, axis=0)) + rounding


def lag_transition(
    basis: AbstractBasis,
    clock: AbstractClock,
    hold: AbstractHold,
    boundary: AbstractBoundary,
    t0: Float[Array, ""],
    t1: Float[Array, ""],
) -> Transition:
    """Build the step from t0 to t1.

    Args:
        basis: Functions of the canonical coordinate.
        clock: How time becomes that coordinate.
        hold: How samples fill the time between.
        boundary: What happens at the old end of a window.
        t0: Time before the step.
        t1: Time after it, not smaller.

    Returns:
        The step; the identity with B = 0 if t0 = t1.
    """
    lag = clock.lag(t0, t1)
    if hold.inputs == 1:
        b, energy = basis.fill(lag)[:, None], basis.mass(lag)[None, None]
    else:
        nodes, weights = basis.created(lag)
        shape = hold.weights(clock.fraction(nodes, t0, t1))
        weighted = shape * weights[:, None]
        b, energy = basis.at(nodes).T @ weighted, shape.T @ weighted
    a, b = boundary.correct(basis, lag, basis.matrix(lag), b)
    b = b[:, 0] if hold.inputs == 1 else b
    return Transition(a, b, basis.forgetting(lag), energy)


def lag_residual(
    basis: AbstractBasis,
    clock: AbstractClock,
    hold: AbstractHold,
    t0: Float[Array, ""],
    t1: Float[Array, ""],
) -> Residual:
    """Tabulate the functions with which the loss of a step is measured.

    Args:
        basis: Functions of the canonical coordinate.
        clock: How time becomes that coordinate.
        hold: How samples fill the time between.
        t0: Time before the step.
        t1: Time after it.

    Returns:
        The tables.
    """
    lag = clock.lag(t0, t1)
    old, new, weights = basis.remembered(lag)
    made, made_weights = basis.created(lag)
    root = jnp.sqrt(weights * basis.excess(new))[:, None]
    made_root = jnp.sqrt(made_weights * basis.excess(made))[:, None]
    return Residual(
        basis.at(old) * root,
        jnp.concatenate([basis.at(new) * root, basis.at(made) * made_root]),
        hold.weights(clock.fraction(made, t0, t1)) * made_root,
    )
