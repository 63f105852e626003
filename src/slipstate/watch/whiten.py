"""Generalised least squares in the noise of a position series.

Series and regressors go through one Kalman filter of the noise (white, random walk,
Gauss-Markov), which makes the residuals white; ordinary least squares on the result is
generalised least squares on the data, with honest errors under coloured noise.
Outliers are weighted down by Student's density.

References:
    de Jong, Biometrika 75, 165 (1988); Harvey, Forecasting, Structural Time Series
    Models and the Kalman Filter (1989), section 3.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from slipstate.earth.trajectory import YEAR, NetworkParameters
from slipstate.ground.kept_programs import kept_jit
from slipstate.watch.series import TickSeries

_DOF = 4.0
_ROUNDS = 2  # of reweighting; outliers have found their weight by then
_TICKS, _COLUMNS = 512, 32  # lengths are rounded up to multiples of these
_SINGULAR = 1e6  # of the inverse root of a correlation matrix


@dataclass(frozen=True)
class WhiteSeries:
    """Inner products of one station's series and regressors, made white.

    Attributes:
        gram: Inner products by component; the series is column 0.
    """

    gram: Float[np.ndarray, "comp column column"]

    def solve(
        self, columns: Sequence[int], sd: Float[np.ndarray, "column comp"] | None = None
    ) -> tuple[
        Float[np.ndarray, "column comp"], Float[np.ndarray, "column column comp"]
    ]:
        """Return coefficients of some regressors and their covariance, by component.

        Args:
            columns: Regressors to use, counted from 0.
            sd: Standard deviation of a normal prior around 0; None or infinite: free.

        Returns:
            Coefficients and covariances.
        """
        C, chosen = len(self.gram), 1 + np.asarray(columns)
        beta, cov = np.zeros((chosen.size, C)), np.zeros((chosen.size, chosen.size, C))
        for c in range(C):
            information = self.gram[c][np.ix_(chosen, chosen)]
            if sd is not None:
                information = information + np.diag(1.0 / sd[:, c] ** 2)
            cov[..., c] = _inverse(information)
            beta[:, c] = cov[..., c] @ self.gram[c, chosen, 0]
        return beta, cov

    def misfit(self, columns: Sequence[int]) -> Float[np.ndarray, " comp"]:
        """Return chi squared left by the best fit of some regressors.

        Args:
            columns: Regressors to use, counted from 0.

        Returns:
            The misfit by component.
        """
        beta, _ = self.solve(columns)
        explained = np.einsum(
            "ck,kc->c", self.gram[:, 1 + np.asarray(columns), 0], beta
        )
        return self.gram[:, 0, 0] - explained


def _inverse(
    information: Float[np.ndarray, "column column"],
) -> Float[np.ndarray, "column column"]:
    """Return the inverse, or the pseudo-inverse where columns say the same."""
    size = np.sqrt(np.maximum(np.diagonal(information), 1e-300))
    scaled = information / np.outer(size, size)
    try:
        root = np.linalg.inv(np.linalg.cholesky(scaled))
    except np.linalg.LinAlgError:
        return np.linalg.pinv(information, hermitian=True)
    if np.abs(root).max() > _SINGULAR:
        return np.linalg.pinv(information, hermitian=True)
    return root.T @ root / np.outer(size, size)


def trajectory_columns(count: int, tick: float) -> Float[np.ndarray, "time column"]:
    """Return constant, rate and two seasons.

    Args:
        count: Number of ticks.
        tick: Length of a tick [day].

    Returns:
        Six regressors.
    """
    years = np.arange(count) * tick / YEAR
    angles = 2.0 * np.pi * np.stack([years, 2.0 * years], 1)
    columns = [np.ones((count, 1)), years[:, None], np.cos(angles), np.sin(angles)]
    return np.concatenate(columns, 1)


def whiten_station(
    series: TickSeries,
    p: NetworkParameters,
    s: int,
    X: Float[np.ndarray, "time column"],
    used: Sequence[int],
) -> WhiteSeries:
    """Whiten one station and its regressors, with weights that spare outliers.

    Args:
        series: The observations.
        p: The fitted noise.
        s: Index of the station.
        X: Regressors.
        used: Regressors that explain the series while the weights are found.

    Returns:
        The innovations under the final weights.
    """
    T, K = X.shape
    scale, walk, sd, time = (
        np.asarray(x)[s] for x in (p.noise_scale, p.walk, p.markov_sd, p.markov_time)
    )
    sd = np.sqrt(sd**2 + np.asarray(p.common_sd) ** 2)
    coloured = (walk**2 * series.tick, sd, np.exp(-series.tick / time))
    # equal shapes are one program, so lengths are rounded up: a record grows by a day a
    # day, and every step it holds brings columns
    tail = ((0, -T % _TICKS), (0, 0))
    y, mask = np.pad(series.y[:, s], tail), np.pad(series.mask[:, s], tail)
    noise = np.pad((scale * series.scale[:, s]) ** 2, tail, constant_values=1.0)

    def regressors(columns: Sequence[int]) -> np.ndarray:
        width = (0, -len(columns) % _COLUMNS)
        return np.pad(X[:, columns], (tail[0], width))

    weight = np.ones_like(noise)
    for _ in range(_ROUNDS - 1):
        gram, white, q = whiten(y, regressors(used), mask, noise / weight, *coloured)
        n = 1 + len(used)
        beta, _ = WhiteSeries(np.asarray(gram)[:, :n, :n]).solve(range(len(used)))
        model = np.einsum("tck,kc->tc", np.asarray(white)[..., 1:n], beta)
        error = np.where(mask, np.asarray(white)[..., 0] - model, 0.0)
        weight = (_DOF + 1.0) / (_DOF + error**2 / np.asarray(q))
    gram, _, _ = whiten(y, regressors(range(K)), mask, noise / weight, *coloured)
    return WhiteSeries(np.asarray(gram)[:, : K + 1, : K + 1])


@kept_jit
def whiten(
    y: Float[ArrayLike, "time comp"],
    X: Float[ArrayLike, "time column"],
    mask: Bool[ArrayLike, "time comp"],
    noise: Float[ArrayLike, "time comp"],
    walk: Float[ArrayLike, " comp"],
    sd: Float[ArrayLike, " comp"],
    phi: Float[ArrayLike, " comp"],
) -> tuple[
    Float[Array, "comp column+1 column+1"],
    Float[Array, "time comp column+1"],
    Float[Array, "time comp"],
]:
    """Make a series and its regressors white under the noise model.

    The state is a random walk (known at the start: the constant is a regressor) plus a
    stationary Gauss-Markov process; the three numbers of its covariance are carried as
    arrays over components, and the two states as arrays over components and columns.

    Args:
        y: The series.
        X: Regressors, the same for every component.
        mask: True where observed.
        noise: Variance of the white noise.
        walk: Variance a random walk gains in a tick.
        sd: Standard deviation of the Gauss-Markov process.
        phi: Its correlation from tick to tick.

    Returns:
        Inner products of the innovations, each over its deviation; the innovations,
        those of the series in column 0; and their variances.
    """
    y, X, sd, phi = (jnp.asarray(x) for x in (y, X, sd, phi))
    renewed = sd**2 * (1.0 - phi**2)

    def step(carry: tuple, row: tuple) -> tuple[tuple, tuple[Array, Array]]:
        walker, markov, aa, ab, bb = carry
        y, x, seen, noise = row
        markov = phi[:, None] * markov
        aa, ab, bb = aa + walk, phi * ab, phi**2 * bb + renewed
        ga, gb = aa + ab, ab + bb
        q = ga + gb + noise
        x = jnp.broadcast_to(x, (len(y), len(x)))
        error = jnp.concatenate([y[:, None], x], 1) - walker - markov
        ka, kb = jnp.where(seen, ga / q, 0.0), jnp.where(seen, gb / q, 0.0)
        walker = walker + ka[:, None] * error
        markov = markov + kb[:, None] * error
        return (walker, markov, aa - ka * ga, ab - ka * gb, bb - kb * gb), (error, q)

    walker, unsure = jnp.zeros((y.shape[1], 1 + X.shape[1])), jnp.zeros_like(sd)
    start = (walker, walker, unsure, unsure, sd**2)
    white, q = jax.lax.scan(step, start, (y, X, mask, noise))[1]
    root = jnp.where(jnp.asarray(mask), 1.0 / jnp.sqrt(q), 0.0)[..., None] * white
    return jnp.einsum("tck,tcl->ckl", root, root), white, q
