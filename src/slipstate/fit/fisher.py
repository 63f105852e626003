"""Fisher scoring for many small likelihoods at once.

Each of K independent problems maximises log p(y | theta) + log prior(theta) over a few
parameters. With the score s_k of every time step (the derivative of one term of the
log-likelihood), the sum of s_k s_k^T estimates the Fisher information, so that

    theta <- theta + (sum s s^T + prior precision + damping)^-1 gradient

converges in about ten steps without second derivatives (Berndt et al. 1974). Scores
come from differences: the shifted parameters of all problems go through one batched
call, and on a long recurrence a batch of eight costs little more than one.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from slipstate.ground.solution import Outcome, Solution

_STUCK = 1e8  # damping at which a problem is given up
_SHIFT = 1e-4  # of parameters of order one; the error of a score is about as large


def fisher_scoring(
    terms: Callable[
        [Float[np.ndarray, "some point parameter"], Int[np.ndarray, " some"]],
        Float[np.ndarray, "some point time"],
    ],
    start: Float[np.ndarray, "problem parameter"],
    prior_mean: Float[np.ndarray, "problem parameter"],
    prior_sd: Float[np.ndarray, "problem parameter"],
    *,
    tolerance: float = 3e-2,
    max_steps: int = 30,
    progress: Callable[[int, int], None] | None = None,
) -> Solution[Float[np.ndarray, "problem parameter"]]:
    """Maximise K posterior densities.

    Args:
        terms: Log-likelihood terms [nats] of every time step at some points of some
            problems, given their numbers; parameters unconstrained, of order one.
        start: Starting points.
        prior_mean: Mean of the normal prior of each parameter.
        prior_sd: Its standard deviation; 0 holds the parameter at the mean.
        tolerance: Expected gain [nats] below which a problem has converged.
        max_steps: Most steps.
        progress: Called with problems done and all problems.

    Returns:
        The maxima; `info` holds the log posterior, the covariance of the parameters
        (inverse information), the number of steps and which problems converged.
    """
    K, P = start.shape
    free = prior_sd > 0
    precision = np.where(free, 1.0 / np.where(free, prior_sd, 1.0) ** 2, 0.0)
    theta = np.where(free, start, prior_mean)
    shifts = np.concatenate([np.zeros((1, P)), _SHIFT * np.eye(P)])

    def evaluate(
        theta: np.ndarray, which: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points = theta[:, None] + shifts * free[which, None]
        values = np.asarray(terms(points, which))
        off = theta - prior_mean[which]
        value = values[:, 0].sum(-1) - 0.5 * (precision[which] * off**2).sum(-1)
        scores = (values[:, 1:] - values[:, :1]) / _SHIFT * free[which, :, None]
        gradient = scores.sum(-1) - precision[which] * off
        information = np.einsum("kpt,kqt->kpq", scores, scores)
        diagonal = precision[which] + (~free[which])
        return value, gradient, information + diagonal[..., None] * np.eye(P)

    value, gradient, information = evaluate(theta, np.arange(K))
    damping = np.full(K, 1e-3)
    done, converged = np.zeros(K, bool), np.zeros(K, bool)
    steps = 0
    while steps < max_steps and not done.all():
        steps += 1
        k = np.flatnonzero(~done)  # only what has not converged is worth its time
        scale = np.einsum("kpp->kp", information[k])
        damped = information[k] + (damping[k, None] * scale)[..., None] * np.eye(P)
        move = np.linalg.solve(damped, gradient[k][..., None])[..., 0]
        gain = 0.5 * np.einsum("kp,kp->k", move, gradient[k])
        trial = theta[k] + np.clip(move, -1.0, 1.0)
        found = evaluate(trial, k)
        better = np.isfinite(found[0]) & (found[0] >= value[k])
        kept = k[better]
        theta[kept] = trial[better]
        value[kept], gradient[kept] = found[0][better], found[1][better]
        information[kept] = found[2][better]
        damping[k] = np.where(better, damping[k] / 4.0, damping[k] * 8.0)
        # a problem no step improves is over, but at its maximum only where the full
        # step promises nothing either
        stuck = damping[k] > _STUCK
        converged[k] = better & (gain < tolerance)
        at = k[stuck]
        full = np.linalg.solve(information[at], gradient[at][..., None])[..., 0]
        promise = 0.5 * np.einsum("kp,kp->k", full, gradient[at])
        converged[at] |= promise < tolerance
        done[k] = converged[k] | stuck
        if progress is not None:
            progress(int(done.sum()), K)
    outcome = Outcome.successful if converged.all() else Outcome.not_converged
    info = {
        "log_posterior": value,
        "covariance": np.linalg.inv(information),
        "steps": steps,
        "converged": converged,
    }
    return Solution(theta, outcome, info, "Fisher scoring (BHHH) with a normal prior")
