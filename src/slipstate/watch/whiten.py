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

import numpy as np
from jaxtyping import Bool, Float

from slipstate.earth.trajectory import YEAR, NetworkParameters
from slipstate.watch.series import TickSeries

_DOF = 4.0
_ROUNDS = 2  # of reweighting; outliers have found their weight by then
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
    C = series.y.shape[2]
    scale, walk, sd, time = (
        np.asarray(x)[s] for x in (p.noise_scale, p.walk, p.markov_sd, p.markov_time)
    )
    sd = np.sqrt(sd**2 + np.asarray(p.common_sd) ** 2)
    phi = np.exp(-series.tick / time)
    noise = (scale * series.scale[:, s]) ** 2
    mask = series.mask[:, s]
    weight = np.ones_like(noise)
    data = np.concatenate([series.y[:, s, :, None], np.repeat(X[:, None], C, 1)], 2)
    step = walk**2 * series.tick
    first = data[..., [0, *(1 + np.asarray(used))]]
    every = range(len(used))
    for _ in range(_ROUNDS - 1):
        white, q = whiten(first, mask, noise / weight, step, sd, phi)
        beta, _ = _inner_products(white, q, mask).solve(every)
        model = np.einsum("tck,kc->tc", white[..., 1:], beta)
        error = np.where(mask, white[..., 0] - model, 0.0)
        weight = (_DOF + 1.0) / (_DOF + error**2 / q)
    return _inner_products(*whiten(data, mask, noise / weight, step, sd, phi), mask)


def _inner_products(white: np.ndarray, q: np.ndarray, mask: np.ndarray) -> WhiteSeries:
    """Return the inner products of innovations, each over its deviation."""
    root = np.where(mask, 1.0 / np.sqrt(q), 0.0)[..., None] * white
    # one symmetric product of contiguous rows per component, the fast road of BLAS
    rows = [np.ascontiguousarray(root[:, c].T) for c in range(root.shape[1])]
    return WhiteSeries(np.stack([row @ row.T for row in rows]))


def whiten(
    data: Float[np.ndarray, "time comp column"],
    mask: Bool[np.ndarray, "time comp"],
    noise: Float[np.ndarray, "time comp"],
    walk: Float[np.ndarray, " comp"],
    sd: Float[np.ndarray, " comp"],
    phi: Float[np.ndarray, " comp"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return innovations of every column under the noise model, and their variances.

    The state is a random walk (known at the start: the constant is a regressor) plus a
    stationary Gauss-Markov process; the three numbers of its covariance are carried as
    arrays over components, and the two states as arrays over components and columns.

    Args:
        data: Series and regressors.
        mask: True where observed.
        noise: Variance of the white noise.
        walk: Variance a random walk gains in a tick.
        sd: Standard deviation of the Gauss-Markov process.
        phi: Its correlation from tick to tick.

    Returns:
        Innovations and variances.
    """
    T, C, K = data.shape
    walker, markov = np.zeros((C, K)), np.zeros((C, K))
    aa, ab, bb = np.zeros(C), np.zeros(C), sd**2
    renewed = sd**2 * (1.0 - phi**2)
    white, variance = np.empty_like(data), np.empty((T, C))
    for t in range(T):
        markov = phi[:, None] * markov
        aa, ab, bb = aa + walk, phi * ab, phi**2 * bb + renewed
        ga, gb = aa + ab, ab + bb
        q = ga + gb + noise[t]
        error = data[t] - walker - markov
        white[t], variance[t] = error, q
        ka, kb = np.where(mask[t], ga / q, 0.0), np.where(mask[t], gb / q, 0.0)
        walker = walker + ka[:, None] * error
        markov = markov + kb[:, None] * error
        aa, ab, bb = aa - ka * ga, ab - ka * gb, bb - kb * gb
    return white, variance
