"""The classical HiPPO and S4 matrices and recurrences, written as published.

Independent of the lag operator: nothing here is used by it, and the tests compare the
two. Conventions: c' = A c + B u (so A carries the minus sign), states normalised for
orthonormal polynomials, everything in float64 NumPy on the host.

References:
    Gu et al. (2020), HiPPO, arXiv:2008.07669. Gu, Goel, Re (2021), S4,
    arXiv:2111.00396. Gu et al. (2022), How to train your HiPPO, arXiv:2206.12037.
    Gu et al. (2022), S4D, arXiv:2206.11893. Voelker et al. (2019), LMU.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import expm

Matrix = np.ndarray
"""A float64 (or complex128) array on the host."""

Rule = Callable[[Matrix, Matrix, float, float], tuple[Matrix, Matrix]]
"""Turns (A, B, t, dt) of c' = (A c + B u) / t into the step from t to t + dt."""


def legs(modes: int) -> tuple[Matrix, Matrix]:
    """Return HiPPO-LegS, c' = (A c + B u) / t: the whole past, uniformly.

    Args:
        modes: State size N.

    Returns:
        A (N, N) lower triangular and B (N,).
    """
    n = np.arange(modes)
    b = np.sqrt(2.0 * n + 1.0)
    return -(np.tril(np.outer(b, b), -1) + np.diag(n + 1.0)), b


def legt(modes: int) -> tuple[Matrix, Matrix]:
    """Return HiPPO-LegT, c' = (A c + B u) / theta: a sliding window.

    Args:
        modes: State size N.

    Returns:
        A (N, N) and B (N,), orthonormal scaling, newest end at +1.
    """
    n = np.arange(modes)
    b = np.sqrt(2.0 * n + 1.0)
    sign = np.where(n[:, None] < n[None, :], (-1.0) ** (n[:, None] - n[None, :]), 1.0)
    return -np.outer(b, b) * sign, b


def lmu(modes: int) -> tuple[Matrix, Matrix]:
    """Return the Legendre memory unit, c' = (A c + B u) / theta, in its own scaling.

    The LMU expands in unnormalised polynomials with the newest end at -1: its state is
    diag((-1)^n / sqrt(2n+1)) times that of `legt`, with B rescaled alike.

    Args:
        modes: State size N.

    Returns:
        A (N, N) and B (N,) as published.
    """
    q = np.arange(modes, dtype=float)
    row, column = np.meshgrid(q, q, indexing="ij")
    a = np.where(row < column, -1.0, (-1.0) ** (row - column + 1.0))
    return (2 * row + 1) * a, (2 * q + 1) * (-1.0) ** q


def lagt(modes: int) -> tuple[Matrix, Matrix]:
    """Return translated Laguerre for exp(-s) on ages s: c' = A c + B u.

    Args:
        modes: State size N.

    Returns:
        A = -tril(1) and B = 1.
    """
    return -np.tril(np.ones((modes, modes))), np.ones(modes)


def fout(modes: int, *, corrected: bool = True) -> tuple[Matrix, Matrix]:
    """Return the truncated Fourier window, c' = (A c + B u) / theta.

    Args:
        modes: State size N, odd: a constant, then cosines and sines.
        corrected: As in How to train your HiPPO, where the series at the edge stands
            for the mean of both ends; otherwise the small-step limit of the lag
            operator.

    Returns:
        A = S - 2 b b^T and 2 b, or S - b b^T and b, with S turning each pair.
    """
    b = np.zeros(modes)
    b[0] = 1.0
    b[1::2] = np.sqrt(2.0)
    turn = np.zeros((modes, modes))
    for row in range(1, modes - 1, 2):
        speed = np.pi * (row + 1)
        turn[row, row + 1], turn[row + 1, row] = speed, -speed
    factor = 2.0 if corrected else 1.0
    return turn - factor * np.outer(b, b), factor * b


def s4d_lin(modes: int) -> Matrix:
    """Return the S4D-Lin eigenvalues -1/2 + i pi n.

    Args:
        modes: Number of conjugate pairs.

    Returns:
        Complex eigenvalues, one of each pair.
    """
    return -0.5 + 1j * np.pi * np.arange(modes)


def s4d_inv(modes: int) -> Matrix:
    """Return the S4D-Inv eigenvalues -1/2 + i (N/pi) (N/(2n+1) - 1), N = 2 modes.

    Args:
        modes: Number of conjugate pairs.

    Returns:
        Complex eigenvalues, one of each pair.
    """
    size = 2 * modes
    n = np.arange(modes)
    return -0.5 + 1j * size / np.pi * (size / (2 * n + 1) - 1)


def s4d_real(modes: int) -> Matrix:
    """Return the S4D-Real eigenvalues -(n + 1).

    Args:
        modes: State size.

    Returns:
        Real eigenvalues.
    """
    return -(np.arange(modes) + 1.0)


def s4d_legs(modes: int) -> Matrix:
    """Return the S4D-LegS eigenvalues: those of the normal part of LegS.

    Args:
        modes: Number of conjugate pairs; the state size is twice that.

    Returns:
        Eigenvalues with non-negative imaginary part, by size.
    """
    a, b = legs(2 * modes)
    normal = a + 0.5 * np.outer(b, b)
    skew = normal + 0.5 * np.eye(2 * modes)
    speeds = np.linalg.eigvalsh(-1j * skew)
    return -0.5 + 1j * np.sort(speeds[speeds > 0])


def forward_euler(a: Matrix, b: Matrix, t: float, dt: float) -> tuple[Matrix, Matrix]:
    """Step c' = (A c + B u) / t by forward Euler at the left end.

    Args:
        a: A.
        b: B.
        t: Time before the step, positive.
        dt: Step.

    Returns:
        Discrete A and B.
    """
    return np.eye(len(a)) + dt / t * a, dt / t * b


def backward_euler(a: Matrix, b: Matrix, t: float, dt: float) -> tuple[Matrix, Matrix]:
    """Step c' = (A c + B u) / t by backward Euler at the right end.

    Args:
        a: A.
        b: B.
        t: Time before the step.
        dt: Step.

    Returns:
        Discrete A and B.
    """
    inverse = np.linalg.inv(np.eye(len(a)) - dt / (t + dt) * a)
    return inverse, dt / (t + dt) * inverse @ b


def bilinear(a: Matrix, b: Matrix, t: float, dt: float) -> tuple[Matrix, Matrix]:
    """Step c' = (A c + B u) / t by the bilinear rule with weight 1/t at the right end.

    Args:
        a: A.
        b: B.
        t: Time before the step.
        dt: Step.

    Returns:
        Discrete A and B.
    """
    h = dt / (t + dt)
    inverse = np.linalg.inv(np.eye(len(a)) - h / 2 * a)
    return inverse @ (np.eye(len(a)) + h / 2 * a), h * inverse @ b


def zero_order_hold(a: Matrix, b: Matrix, t: float, dt: float) -> tuple[Matrix, Matrix]:
    """Step c' = (A c + B u) / t exactly for a held input: exp(A ln((t+dt)/t)).

    Args:
        a: A, invertible.
        b: B.
        t: Time before the step; 0 is the first step, which forgets everything.
        dt: Step.

    Returns:
        Discrete A and B.
    """
    matrix = expm(a * np.log((t + dt) / t)) if t > 0 else np.zeros_like(a)
    return matrix, np.linalg.solve(a, (matrix - np.eye(len(a))) @ b)


def run_scaled(modes: int, u: Matrix, rule: Rule, *, first: float = 1.0) -> Matrix:
    """Run HiPPO-LegS over samples with a discretisation, one dense step per sample.

    Args:
        modes: State size N.
        u: Samples, (time, channel).
        rule: Discretisation.
        first: Time before the first step. Public code starts at 1, so its exact hold
            sees one sample of zero before the signal; 0 is the right start.

    Returns:
        The last coefficients, (mode, channel).
    """
    a, b = legs(modes)
    c = np.zeros((modes, u.shape[1]))
    for k, sample in enumerate(u):
        step, gain = rule(a, b, first + k, 1.0)
        c = step @ c + np.outer(gain, sample)
    return c
