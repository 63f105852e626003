"""The real Fourier basis of the unit interval."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.quadrature import gauss_jacobi
from slipstate.memory.basis.protocol import (
    AbstractBasis,
    check_modes,
    constant,
    last_axis,
)
from slipstate.memory.basis.unit import uniform_created, uniform_remembered
from slipstate.memory.clock.lag import Dilation, Lag, Shift


class Fourier(AbstractBasis):
    """1, sqrt2 cos 2 pi z, sqrt2 sin 2 pi z, sqrt2 cos 4 pi z, ...

    Periodic: at the edge of a window a series converges to the mean of both ends. See
    `MeanCorrectedBoundary` for what that costs and how it is repaired.

    Attributes:
        modes: Number of functions; odd numbers keep every cosine with its sine.
    """

    modes: int = eqx.field(static=True)

    def __check_init__(self):
        check_modes(self.modes)

    def values(self, z: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate all functions at z in [0, 1]."""
        return self._near(1.0 - z)

    def at(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Evaluate all functions where *now* was `lag` ago."""
        return self._near(lag.new)

    def fill(self, lag: Lag) -> Float[Array, "*batch mode"]:
        """Integrate over [1 - rho, 1] in closed form."""
        rho = lag.new
        angle = rho[..., None]
        half = jnp.pi * last_axis(self._frequencies(), angle) * angle
        # sin(2x)/(2x) and -sin(x)^2/x, both times rho; sinc(x/pi) = sin(x)/x
        even = jnp.sinc(2.0 * half / jnp.pi)
        odd = -jnp.sin(half) * jnp.sinc(half / jnp.pi)
        one = jnp.ones((*rho.shape, 1), rho.dtype)
        return self._interleave(one, even, odd) * angle

    def mass(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return rho, the measure being uniform."""
        return lag.new

    def matrix(self, lag: Lag) -> Float[Array, "mode mode"]:
        """Return A in closed form, through complex exponentials.

        A shift gives e^{2 pi i m d} int_0^{1-d} e^{2 pi i (m-n) z} dz, a dilation
        r int_0^1 e^{2 pi i (m - n r) y} dy.
        """
        r = lag.kept
        highest = self.modes // 2
        k = constant(np.arange(-highest, highest + 1), r)
        n, m = k[:, None], k[None, :]
        if isinstance(lag, Shift):
            turns = (m - n) * r
            phase = jnp.pi * turns + 2.0 * jnp.pi * m * (1.0 - r)
        else:
            turns = m - n * r
            phase = jnp.pi * turns
        size = r * jnp.sinc(turns)
        cosine, sine = size * jnp.cos(phase), size * jnp.sin(phase)
        real, imaginary = (constant(part, r) for part in self._unitary())
        # Re(conj(U) Z U^T) for U = real + i imaginary and Z = cosine + i sine
        left = real @ cosine + imaginary @ sine
        right = real @ sine - imaginary @ cosine
        return left @ real.T - right @ imaginary.T

    def remembered(self, lag: Lag) -> tuple[Lag, Lag, Float[Array, " node"]]:
        """Return Gauss-Legendre nodes enough for the product of two functions."""
        return uniform_remembered(lag, gauss_jacobi(30 + int(1.7 * self.modes)))

    def created(self, lag: Lag) -> tuple[Lag, Float[Array, " node"]]:
        """Return Gauss-Legendre nodes on the new part."""
        return uniform_created(lag, gauss_jacobi(30 + self.modes))

    def closed(self, lag: Lag) -> bool:
        """Tell that no lag is closed: the window cuts the sinusoids."""
        del lag
        return False

    def forgetting(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return r for a dilation, 1 for a window."""
        return lag.kept if isinstance(lag, Dilation) else jnp.ones_like(lag.amount)

    def excess(self, lag: Lag) -> Float[Array, "*batch"]:
        """Return 1: the measure is uniform."""
        return jnp.ones_like(lag.new)

    def turn(self, amount: Float[Array, ""]) -> Float[Array, "mode mode"]:
        """Return T(d) with p(z - d) = T(d) p(z): the whole circle turned, no window."""
        angle = 2.0 * jnp.pi * constant(self._frequencies(), amount) * amount
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        one = jnp.ones((1,), amount.dtype)
        matrix = jnp.diag(self._interleave(one, cosine, cosine) / self._norms(one))
        ups = jnp.stack([sine, jnp.zeros_like(sine)], -1).reshape(-1)[: self.modes - 2]
        return matrix + _off(ups, 1) - _off(ups, -1)

    def _near(self, age: Float[Array, "*batch"]) -> Float[Array, "*batch mode"]:
        """Evaluate by the distance 1 - z from the newest end."""
        turns = age[..., None]
        angle = 2.0 * jnp.pi * last_axis(self._frequencies(), turns) * turns
        one = jnp.ones((*age.shape, 1), age.dtype)
        return self._interleave(one, jnp.cos(angle), -jnp.sin(angle))

    def _frequencies(self) -> np.ndarray:
        return np.arange(1, self.modes // 2 + 1, dtype=float)

    def _norms(self, like: Array) -> Array:
        """Return 1, sqrt2, sqrt2, ..."""
        norms = np.full(self.modes, np.sqrt(2.0))
        norms[0] = 1.0
        return last_axis(norms, like)

    def _interleave(self, first: Array, even: Array, odd: Array) -> Array:
        """Order the functions as constant, cosine, sine, cosine, ..., normalised."""
        pairs = jnp.stack([even, odd], axis=-1)
        pairs = pairs.reshape((*even.shape[:-1], -1))[..., : self.modes - 1]
        return jnp.concatenate([first, pairs], axis=-1) * self._norms(even)

    def _unitary(self) -> tuple[np.ndarray, np.ndarray]:
        """Return real and imaginary part of U with p = U e, e_k = exp(2 pi i k z)."""
        highest = self.modes // 2
        real = np.zeros((self.modes, 2 * highest + 1))
        imaginary = np.zeros_like(real)
        real[0, highest] = 1.0
        for row in range(1, self.modes):
            k = (row + 1) // 2
            up, down = highest + k, highest - k
            if row % 2:
                real[row, [up, down]] = np.sqrt(0.5)
            else:
                imaginary[row, [up, down]] = [-np.sqrt(0.5), np.sqrt(0.5)]
        return real, imaginary


def _off(entries: Array, place: int) -> Array:
    """Put `entries` beside the diagonal, leaving the constant mode alone."""
    padded = jnp.concatenate([jnp.zeros((1,), entries.dtype), entries])
    return jnp.diag(padded, place)
