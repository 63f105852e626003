"""From a memory to the matrices that trainable layers start from.

Only time-invariant memories (`ExponentialClock`, `WindowClock`) have one A for all
steps. `to_lti` hands over the exact step; `to_nplr` and `to_diagonal` hand over the
generator, never the step: A(dt) shares its eigenvectors, which for polynomials are
useless (condition 1e10 at N = 16), while the normal part of the generator has unitary
ones. Each says how far what it returns is from the memory.

References:
    Gu, Goel, Re (2021), arXiv:2111.00396. Gu et al. (2022), arXiv:2206.11893.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float
from scipy.linalg import expm

from slipstate.ground.errors import MethodError
from slipstate.ground.types import ScalarLike
from slipstate.memory.basis import AbstractJacobiBasis, Fourier, Laguerre, Legendre
from slipstate.memory.basis.dilation import dilation_generator
from slipstate.memory.boundary import MeanCorrectedBoundary
from slipstate.memory.clock import ExponentialClock, WindowClock
from slipstate.memory.hippo import fout, legt
from slipstate.memory.online import LagMemory


class LinearSystem(eqx.Module):
    """x' = A x + B u: one exact step of a time-invariant memory.

    Attributes:
        A: (mode, mode).
        B: (mode,) or (mode, 2) for `LinearHold`.
        dt: Step.
        error: Relative difference to the memory; 0, the step is the memory.
    """

    A: Float[Array, "mode mode"]
    B: Float[Array, "mode *input"]
    dt: Float[Array, ""]
    error: Float[Array, ""]


class NormalPlusLowRank(eqx.Module):
    """A = V (diag(eigenvalues) - P Q^*) V^* and dx/dt = A x + B u.

    Attributes:
        eigenvalues: Of the normal part [1/time].
        V: Unitary eigenvectors of the normal part.
        P: (mode, rank).
        Q: (mode, rank).
        B: V^* B, (mode,).
        error: |V (L - P Q^*) V^* - A| / |A| in the Frobenius norm.
    """

    eigenvalues: Complex[Array, " mode"]
    V: Complex[Array, "mode mode"]
    P: Complex[Array, "mode rank"]
    Q: Complex[Array, "mode rank"]
    B: Complex[Array, " mode"]
    error: Float[Array, ""]


class Diagonal(eqx.Module):
    """dx/dt = diag(eigenvalues) x + B u, the low-rank part left out (S4D).

    Attributes:
        eigenvalues: (mode,) [1/time].
        V: Takes x back to coefficients of the memory.
        B: (mode,).
        error: Relative error of the impulse response, root mean square over all modes
            and over the memory's own length.
    """

    eigenvalues: Complex[Array, " mode"]
    V: Complex[Array, "mode mode"]
    B: Complex[Array, " mode"]
    error: Float[Array, ""]


def to_lti(memory: LagMemory, dt: ScalarLike) -> LinearSystem:
    """Return the one step of a time-invariant memory.

    Args:
        memory: With `ExponentialClock` or `WindowClock`.
        dt: Step, in the time unit of the clock.

    Returns:
        The step, exact.

    Raises:
        MethodError: the clock is not time-invariant.
    """
    if not memory.clock.invariant:
        raise MethodError(
            f"`to_lti` needs a time-invariant clock; {type(memory.clock).__name__} has "
            "another step at every time. Use ExponentialClock(tau): near time t it "
            "looks like ScaleClock with tau = t."
        )
    step = memory.transition(0.0, dt)
    return LinearSystem(step.A, step.B, jnp.asarray(dt, step.A.dtype), jnp.zeros(()))


def generator(memory: LagMemory) -> tuple[np.ndarray, np.ndarray]:
    """Return the continuous-time limit dc/dt = A c + B u of a memory, on the host.

    Args:
        memory: `ExponentialClock` with Jacobi(0, b) or Laguerre; `WindowClock` with
            Legendre or Fourier.

    Returns:
        A (mode, mode) and B (mode,) [1/time].

    Raises:
        MethodError: no closed form is known.
    """
    basis, clock = memory.basis, memory.clock
    n = basis.modes
    if isinstance(clock, ExponentialClock):
        tau = float(clock.tau)
        if isinstance(basis, AbstractJacobiBasis) and basis.a == 0.0:
            edge = np.asarray(basis.values(jnp.ones(())))
            return -dilation_generator(n, basis.b) / tau, edge * (basis.b + 1) / tau
        if isinstance(basis, Laguerre):
            return -np.tril(np.ones((n, n))) / tau, np.ones(n) / tau
    if isinstance(clock, WindowClock):
        theta = float(clock.theta)
        if isinstance(basis, Legendre):
            a, b = legt(n)
            return a / theta, b / theta
        if isinstance(basis, Fourier) and n % 2:
            corrected = isinstance(memory.boundary, MeanCorrectedBoundary)
            a, b = fout(n, corrected=corrected)
            return a / theta, b / theta
    raise MethodError(
        f"No generator is known for {type(basis).__name__} with "
        f"{type(clock).__name__}. "
        "Known: ExponentialClock with Legendre, Jacobi(N, 0, b) or Laguerre; "
        "WindowClock with Legendre or Fourier (odd N). `to_lti(memory, dt)` works for "
        "every time-invariant memory."
    )


def to_nplr(memory: LagMemory) -> NormalPlusLowRank:
    """Split the generator into a normal part and a low-rank one.

    A normal part of the form (shift + skew-symmetric) is looked for, so its
    eigenvectors are unitary: the symmetric part of A, minus a multiple of the
    identity, is the low rank. It has rank 1 for Legendre and Laguerre with an
    exponential clock and for Fourier windows, and rank 2 for Legendre windows.

    Args:
        memory: One that `generator` knows.

    Returns:
        The split and its error (rounding, where the rank is small).
    """
    a, b = generator(memory)
    symmetric, skew = 0.5 * (a + a.T), 0.5 * (a - a.T)
    values, vectors = np.linalg.eigh(symmetric)
    shift = float(np.median(values))
    spread = np.abs(values - shift)
    low = spread > 1e-9 * np.max(np.abs(values))
    speeds, v = np.linalg.eigh(-1j * skew)
    eigenvalues = shift + 1j * speeds
    q = vectors[:, low]
    p = -q * (values[low] - shift)
    p, q = v.conj().T @ p, v.conj().T @ q
    back = v @ (np.diag(eigenvalues) - p @ q.conj().T) @ v.conj().T
    error = np.linalg.norm(back - a) / np.linalg.norm(a)
    return NormalPlusLowRank(
        *(jnp.asarray(x) for x in (eigenvalues, v, p, q, v.conj().T @ b)),
        error=jnp.asarray(error),
    )


def to_diagonal(memory: LagMemory, *, gain: float = 1.0) -> Diagonal:
    """Keep the normal part only, as S4D-LegS does, and report what that costs.

    Args:
        memory: One that `generator` knows.
        gain: Factor on B. As N grows the diagonal system approaches the memory with
            gain 1/2; public code uses 1.

    Returns:
        The diagonal system. Its `error` is large for every finite N: it starts a layer,
        it does not replace the memory.
    """
    split = to_nplr(memory)
    a, b = generator(memory)
    eigenvalues, v = np.asarray(split.eigenvalues), np.asarray(split.V)
    kept = gain * np.asarray(split.B)
    length = _length(memory)
    steps = 400
    step = expm(a * length / steps)
    times = np.arange(steps) * length / steps
    truth = np.empty((steps, len(b)))
    truth[0] = b
    for k in range(1, steps):
        truth[k] = step @ truth[k - 1]
    response = (np.exp(times[:, None] * eigenvalues) * kept) @ v.T
    error = np.linalg.norm(response - truth) / np.linalg.norm(truth)
    return Diagonal(split.eigenvalues, split.V, jnp.asarray(kept), jnp.asarray(error))


def _length(memory: LagMemory) -> float:
    """Return the time over which the memory reaches back."""
    clock = memory.clock
    if isinstance(clock, WindowClock):
        return float(clock.theta)
    assert isinstance(clock, ExponentialClock)
    return 3.0 * float(clock.tau)
