"""Hidden Markov models: a mode nobody sees, and observations that depend on it.

    s_1 ~ initial,   s_{k+1} ~ P(. | s_k, u_{k+1}, dt),   y_k ~ p(. | s_k, earlier y)

The state of the model is the mode, written as a row of the identity, so that the mean
of a belief is the probability of each mode.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from slipstate.ground.arrays import Numbers, as_real
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key
from slipstate.systems.beliefs import Categorical
from slipstate.systems.chains import AbstractChain, MarkovChain, check_probabilities
from slipstate.systems.emissions import AbstractEmission, Past
from slipstate.systems.protocol import AbstractModel


class HiddenMarkov(AbstractModel):
    """A hidden Markov model.

    Attributes:
        initial: Probability of each mode at the first observation.
        chain: How the mode moves.
        observation: What is seen of it.
    """

    initial: Categorical
    chain: AbstractChain
    observation: AbstractEmission

    def __init__(
        self,
        initial_probs: Numbers,
        transition_matrix: Numbers | AbstractChain,
        emission: AbstractEmission,
    ) -> None:
        """Check and keep the parts.

        Args:
            initial_probs: Probability of each mode at the first observation.
            transition_matrix: P(next mode = column | mode = row), or a chain such as
                `DrivenChain` whose steps differ.
            emission: What is seen in each mode.

        Raises:
            InputError: The parts disagree about the number of modes, or probabilities
                are negative or do not sum to one.
        """
        probs = as_real("initial_probs", initial_probs, (None,))
        check_probabilities("initial_probs", probs)
        self.initial = Categorical(safe_log(probs))
        self.chain = (
            transition_matrix
            if isinstance(transition_matrix, AbstractChain)
            else MarkovChain(transition_matrix)
        )
        self.observation = emission
        modes = probs.shape[0]
        for name, got in (
            ("transition_matrix", self.chain.modes),
            ("emission", emission.modes),
        ):
            if got != modes:
                raise InputError(
                    f"`{name}` must have {modes} modes, as `initial_probs` has; got "
                    f"{got}. Give one row for each mode."
                )

    @property
    def modes(self) -> int:
        """The number of modes."""
        return self.observation.modes

    @property
    def emission(self) -> AbstractEmission:
        """What is seen in each mode."""
        return self.observation

    @property
    def free_parameters(self) -> int:
        """The number of parameters a fit may choose, the initial ones among them."""
        inside = self.chain.free_parameters + self.observation.free_parameters
        return self.modes - 1 + inside

    def reordered(self, order: Int[Array, " mode"]) -> "HiddenMarkov":
        """Return the same model with mode `order[i]` called i.

        Args:
            order: A permutation of the modes.
        """
        probs = jnp.exp(
            self.initial.log_probs - jax.nn.logsumexp(self.initial.log_probs)
        )
        return HiddenMarkov(
            probs[order], self.chain.reordered(order), self.observation.reordered(order)
        )

    def in_order(self) -> "HiddenMarkov":
        """Return the same model with modes sorted by their first mean.

        The names of hidden modes are arbitrary; this choice makes two fits comparable.
        """
        return self.reordered(jnp.argsort(self.observation.order_key()))

    def start_past(self) -> Past:
        """Return the past of a series that has just begun: nothing was seen."""
        obs, order = len(self.observation.units), self.observation.order
        dtype = self.initial.log_probs.dtype
        return Past(jnp.zeros((order, obs), dtype), jnp.zeros(order, bool))

    def draw_path(
        self,
        rows: int,
        *,
        t: Numbers | None = None,
        u: Numbers | None = None,
        key: Key,
    ) -> tuple[Int[Array, " time"], Float[Array, "time obs"]]:
        """Draw modes and observations.

        An emission that depends on earlier rows starts from rows of zeros.

        Args:
            rows: Number of rows, at least one.
            t: Time of each row; None for 0, 1, 2, ...
            u: Exogenous input of each row, or None.
            key: Random key.

        Returns:
            The mode and the observation at each row.

        Raises:
            InputError: There is no row, or the inputs do not fit the rows.
        """
        if rows < 1:
            raise InputError(f"`rows` must be at least 1; got {rows}. Ask for a row.")
        times = jnp.arange(rows, dtype=float) if t is None else as_real("t", t, (rows,))
        inputs = None if u is None else as_real("u", u, (rows, None))
        past = self.start_past()
        past = Past(past.y, jnp.ones_like(past.seen))
        keys = jax.random.split(key, (rows, 2))
        first = jax.random.categorical(keys[0, 0], self.initial.log_probs)
        row = self.observation.draw(first, past, key=keys[0, 1])

        def body(carry: tuple[Array, Past], step):
            mode, past = carry
            keys, dt, u = step
            logits = safe_log(self.chain.matrix(u, dt)[mode])
            mode = jax.random.categorical(keys[0], logits)
            y = self.observation.draw(mode, past, key=keys[1])
            return (mode, remember(past, y, jnp.ones(y.shape, bool))), (mode, y)

        start = (first, remember(past, row, jnp.ones(row.shape, bool)))
        later = None if inputs is None else inputs[1:]
        _, (modes, values) = jax.lax.scan(
            body, start, (keys[1:], jnp.diff(times), later)
        )
        modes = jnp.concatenate([first[None], modes])
        return modes, jnp.concatenate([row[None], values])


def remember(past: Past, y: Float[Array, " obs"], mask: Array) -> Past:
    """Return the past of the next row.

    Args:
        past: The past of this row.
        y: This row; 0 where nothing was observed.
        mask: True where observed.
    """
    if past.seen.shape[0] == 0:
        return past
    return Past(
        jnp.concatenate([y[None], past.y[:-1]]),
        jnp.concatenate([jnp.all(mask)[None], past.seen[:-1]]),
    )


def pasts(past: Past, y: Float[Array, "time obs"], mask: Array) -> Past:
    """Return the past of each row of a series.

    Args:
        past: The past of the first row.
        y: The rows; 0 where nothing was observed.
        mask: True where observed.
    """
    order, rows = past.seen.shape[0], y.shape[0]
    if order == 0:
        return Past(
            jnp.zeros((rows, 0, y.shape[1]), y.dtype), jnp.zeros((rows, 0), bool)
        )
    values = jnp.concatenate([past.y[::-1], y[:-1]])
    seen = jnp.concatenate([past.seen[::-1], jnp.all(mask, axis=1)[:-1]])
    back = jnp.arange(rows)[:, None] + (order - 1 - jnp.arange(order))[None]
    return Past(values[back], seen[back])


def safe_log(probs: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return log p, minus infinity where p is zero, with a finite gradient there."""
    return jnp.where(probs > 0, jnp.log(jnp.where(probs > 0, probs, 1.0)), -jnp.inf)
