"""The Kuramoto-Sivashinsky equation: the least partial differential equation of chaos.

    u_t = -u u_x - u_xx - u_xxxx

on a ring of length 2 pi L, by a Fourier method and the exponential Runge-Kutta scheme
of fourth order, whose coefficients are means over circles in the complex plane.

References:
    Kassam & Trefethen (2005), Fourth-order time-stepping for stiff PDEs, SIAM J. Sci.
    Comput. 26. Cox & Matthews (2002), J. Comput. Phys. 176.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from slipstate.earth.chaos import added_noise, checked_diffusion, checked_substeps
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.protocol import AbstractTransition, Input

_ROOTS = 16  # points on each half circle


class KuramotoSivashinsky(AbstractTransition):
    """The equation on a ring of places.

    Attributes:
        diffusion: Standard deviation per square root of time; None for none.
        length: L, length of the ring over 2 pi.
        size: Number of places, even.
        substeps: Time steps per transition.
    """

    diffusion: Scalar | None
    length: float = eqx.field(static=True)
    size: int = eqx.field(static=True)
    substeps: int = eqx.field(static=True)

    def __init__(
        self,
        diffusion: ScalarLike | None = None,
        length: float = 16.0,
        size: int = 128,
        substeps: int = 2,
    ) -> None:
        """Keep the parameters.

        Args:
            diffusion: Standard deviation per square root of time.
            length: L, length of the ring over 2 pi.
            size: Number of places, even.
            substeps: Time steps per transition; 0.5 each is accurate to 1e-3.

        Raises:
            InputError: `size` is odd or too small, `length` not positive, `substeps`
                below 1 or `diffusion` negative.
        """
        if size < 8 or size % 2:
            raise InputError(f"`size` must be even, 8 or more; got {size}. Pass 128.")
        if not length > 0.0:
            raise InputError(f"`length` must be positive; got {length}. Pass 16.")
        self.diffusion = checked_diffusion(diffusion)
        self.length, self.size = length, size
        self.substeps = checked_substeps(substeps)

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return the field after `dt`."""
        h = jnp.asarray(dt, x.dtype) / self.substeps
        waves = np.arange(self.size // 2 + 1) / self.length
        waves[-1] = 0.0  # the highest has no derivative on the grid
        slope = jnp.asarray(-0.5j * waves)
        linear = jnp.asarray(waves**2 - waves**4)

        def bend(v: Complex[Array, " wave"]) -> Complex[Array, " wave"]:
            return slope * jnp.fft.rfft(jnp.fft.irfft(v, self.size) ** 2)

        angles = np.exp(1j * np.pi * (0.5 + np.arange(_ROOTS)) / _ROOTS)
        ring = jnp.asarray(angles)[None, :]
        z = (h * linear).astype(ring.dtype)[:, None] + ring
        e = jnp.exp(z)
        real = lambda values: values.real.astype(z.dtype)
        average = lambda values: real(h.astype(z.dtype) * jnp.mean(values, axis=1))
        Q = average((jnp.exp(0.5 * z) - 1.0) / z)
        f1 = average((-4.0 - z + e * (4.0 - 3.0 * z + z**2)) / z**3)
        f2 = average((2.0 + z + e * (z - 2.0)) / z**3)
        f3 = average((-4.0 - 3.0 * z - z**2 + e * (4.0 - z)) / z**3)
        whole, half = real(jnp.exp(h * linear)), real(jnp.exp(0.5 * h * linear))

        def advance(v: Array, _: None) -> tuple[Array, None]:
            n1 = bend(v)
            v1 = half * v + Q * n1
            n2 = bend(v1)
            n3 = bend(half * v + Q * n2)
            n4 = bend(half * v1 + Q * (2.0 * n3 - n1))
            return whole * v + n1 * f1 + 2.0 * (n2 + n3) * f2 + n4 * f3, None

        v = jax.lax.scan(advance, jnp.fft.rfft(x), None, length=self.substeps)[0]
        return jnp.fft.irfft(v, self.size)

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state noise"]:
        """Return the diffusion over `dt`; no columns where there is none."""
        return added_noise(self.diffusion, self.size, dt)
