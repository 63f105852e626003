"""Many channels, each with its own memory: multi-rate clocks side by side."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError
from slipstate.memory.inputs import check_signal
from slipstate.memory.online import LagMemory
from slipstate.memory.state import MemoryState


class ChannelMemory(eqx.Module):
    """One `LagMemory` per channel: clocks (and bases) may differ.

    Memories of the same kind share one compiled program, whatever the parameters of
    their clocks.

    Attributes:
        memories: One memory per channel.
    """

    memories: tuple[LagMemory, ...]

    def __check_init__(self):
        if not self.memories:
            raise InputError(
                "`memories` must hold one LagMemory per channel; got none."
            )
        holds = {memory.hold.inputs for memory in self.memories}
        if len(holds) > 1:
            raise InputError(
                "`memories` must all have cell holds or all LinearHold, because they "
                "share the times of the samples."
            )

    def scan(
        self, u: Any, t: Any = None, *, mask: Any = None
    ) -> tuple[MemoryState, ...]:
        """Take a whole sequence in, every channel by its own memory.

        Args:
            u: Samples, (time, channel).
            t: Times, as for `LagMemory.scan`.
            mask: Observed samples, as for `LagMemory.scan`.

        Returns:
            The last state of every channel.
        """
        samples = check_signal(u, mask)
        self._check(samples.values.shape[1])
        return tuple(
            memory.scan(
                samples.values[:, k : k + 1], t, mask=samples.seen[:, k : k + 1]
            ).last
            for k, memory in enumerate(self.memories)
        )

    def reconstruct(
        self, states: tuple[MemoryState, ...], times: Any
    ) -> Float[Array, "tick channel"]:
        """Evaluate the remembered past of every channel.

        Args:
            states: One state per channel.
            times: Where to evaluate.

        Returns:
            The reconstruction.
        """
        self._check(len(states))
        pairs = zip(self.memories, states)
        return jnp.concatenate([m.reconstruct(s, times) for m, s in pairs], axis=1)

    def error(self, states: tuple[MemoryState, ...]) -> Float[Array, " channel"]:
        """Return the certificate of every channel.

        Args:
            states: One state per channel.

        Returns:
            Errors, in the unit of the signal.
        """
        self._check(len(states))
        pairs = zip(self.memories, states)
        return jnp.concatenate([m.error(s) for m, s in pairs])

    def _check(self, channels: int) -> None:
        if channels != len(self.memories):
            raise InputError(
                f"`u` must have {len(self.memories)} channels, one per memory; got "
                f"{channels}."
            )
