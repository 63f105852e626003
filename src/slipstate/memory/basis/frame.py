"""A basis made from any functions the user supplies."""

from collections.abc import Callable
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError
from slipstate.ground.quadrature import panel_rule
from slipstate.memory.basis.halfline import batched_fill
from slipstate.memory.basis.piecewise import AbstractPanelBasis
from slipstate.memory.basis.protocol import constant
from slipstate.memory.clock.lag import Lag

Functions = Callable[[Array], Array]
"""Maps z of any shape to values with one more axis, the functions."""


class Frame(AbstractPanelBasis):
    """The span of given functions on [0, 1], orthonormalised through its Gram matrix.

    Directions whose Gram eigenvalue is below `cutoff` times the largest are dropped,
    so a redundant frame is welcome; `modes` is the rank that is left. Coefficients of
    a state refer to the orthonormal combinations; `to_frame` returns those of the
    functions themselves.

    Attributes:
        function: Maps z (any shape, 0 oldest, 1 newest) to values (..., size).
        inner: Break points inside (0, 1) where the functions are not smooth.
        resolution: Gauss nodes between two break points.
        cutoff: Relative eigenvalue below which a direction counts as redundant.
        modes: Rank of the frame.
    """

    function: Functions = eqx.field(static=True)
    inner: tuple[float, ...] = eqx.field(static=True)
    resolution: int = eqx.field(static=True)
    cutoff: float = eqx.field(static=True)
    modes: int = eqx.field(static=True)

    def __init__(
        self,
        function: Functions,
        *,
        knots: tuple[float, ...] = (),
        resolution: int = 64,
        cutoff: float = 1e-12,
    ):
        """Measure the frame.

        Args:
            function: Maps z to values (..., size); must be traceable by jax.
            knots: Break points inside (0, 1).
            resolution: Gauss nodes between break points; raise it for functions that
                oscillate more than about resolution / 4 times between two of them.
            cutoff: Relative eigenvalue below which a direction is dropped.

        Raises:
            InputError: the knots leave (0, 1), or the function returns the wrong shape.
        """
        inner = tuple(float(k) for k in knots)
        if any(not 0.0 < k < 1.0 for k in inner) or list(inner) != sorted(set(inner)):
            raise InputError(
                f"`knots` must increase strictly inside (0, 1); got {inner}."
            )
        self.function = function
        self.inner = inner
        self.resolution = resolution
        self.cutoff = cutoff
        self.modes = _measure(function, inner, resolution, cutoff)[0].shape[0]

    def knots(self) -> np.ndarray:
        """Return the break points with both ends."""
        return np.array([0.0, *self.inner, 1.0])

    def points(self) -> int:
        """Return the resolution."""
        return self.resolution

    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate the orthonormal combinations at z in [0, 1]."""
        raw = self.function(z).astype(z.dtype)
        return raw @ constant(self._measured()[0], z).T

    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Integrate over [r, 1] by quadrature."""
        return batched_fill(self, lag)

    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return A by quadrature."""
        return self.quadrature_matrix(lag)

    def to_frame(
        self, c: Float[Array, "mode *channel"]
    ) -> Float[Array, "size *channel"]:
        """Return coefficients of the functions themselves (the shortest ones)."""
        return jnp.tensordot(constant(self._measured()[0], c).T, c, axes=1)

    @property
    def gram_matrix(self) -> np.ndarray:
        """Gram matrix of the functions as given."""
        return self._measured()[1]

    @property
    def condition(self) -> float:
        """Condition number of the Gram matrix; above 1 / cutoff: redundant."""
        return float(np.linalg.cond(self._measured()[1]))

    def _measured(self) -> tuple[np.ndarray, np.ndarray]:
        return _measure(self.function, self.inner, self.resolution, self.cutoff)


@lru_cache(maxsize=32)
def _measure(
    function: Functions, inner: tuple[float, ...], resolution: int, cutoff: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the orthonormalising transform (rank, size) and the Gram matrix."""
    rule = panel_rule(np.array([0.0, *inner, 1.0]), resolution)
    with jax.ensure_compile_time_eval():
        raw = np.asarray(function(jnp.asarray(rule.nodes)), dtype=float)
    if raw.ndim != 2 or raw.shape[0] != rule.nodes.size:
        raise InputError(
            "`function` must map z of shape (n,) to values of shape (n, size); got "
            f"{raw.shape} for n = {rule.nodes.size}."
        )
    if not np.all(np.isfinite(raw)):
        raise InputError("`function` must be finite on [0, 1]; got NaN or infinity.")
    gram = (raw * rule.weights[:, None]).T @ raw
    values, vectors = np.linalg.eigh(gram)
    keep = values > cutoff * values[-1]
    return (vectors[:, keep] / np.sqrt(values[keep])).T, gram
