"""Following a hidden Markov model: forward-backward, exact, over a series or in steps.

A step keeps logarithms; a whole series goes in plain numbers, scaled row by row, which
is several times faster, and falls back to logarithms where a probability too small for
plain numbers may decide (`slipstate.assimilate.mode_messages`). Both give the same
answer.

References:
    Rabiner (1989), A tutorial on hidden Markov models, Proc. IEEE 77. Hassan, Sarkka &
    Garcia-Fernandez (2021), Temporal parallelization of inference in hidden Markov
    models, arXiv:2102.05743.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.mode_messages import Matrices, log_sum, log_turn
from slipstate.assimilate.mode_passes import filter_modes, smooth_modes
from slipstate.assimilate.mode_pieces import (
    Step,
    filter_pieces,
    long,
    smooth_pieces,
)
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import (
    AbstractInfo,
    AbstractSeriesFilter,
    Running,
    SeriesPass,
)
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Categorical
from slipstate.systems.emissions import Past
from slipstate.systems.hidden_markov import HiddenMarkov, pasts, remember, safe_log
from slipstate.systems.protocol import AbstractModel, Input


class ModeState(eqx.Module):
    """How probable each mode is, and the last rows where the emission asks for them.

    Attributes:
        log_probs: Log probability of each mode.
        past: The rows before the next one.
    """

    log_probs: Float[Array, "*time mode"]
    past: Past

    @property
    def probs(self) -> Float[Array, "*time mode"]:
        """The probability of each mode."""
        return jnp.exp(self.log_probs)


class ModeInfo(AbstractInfo):
    """Diagnostics of one update.

    Attributes:
        innovation: Observation minus its prediction, the mean over the modes; 0 where
            nothing was observed or the emission passes over the row.
        innovation_cov: Covariance of the prediction, a mixture over the modes; infinite
            where the emission passes over the row.
        log_emitted: log p(y | mode) of each mode.
        log_evidence: log p(y_k | earlier rows) [nats]; 0 where nothing was observed.
    """

    innovation: Float[Array, "*time obs"]
    innovation_cov: Float[Array, "*time obs obs"]
    log_emitted: Float[Array, "*time mode"]
    log_evidence: Float[Array, "*time"]


class ForwardBackward(AbstractSeriesFilter):
    """Exact filter and smoother of hidden Markov models.

    Mode probabilities are at `result.probs`, of `filter_series` and `smooth_series`
    alike.

    Attributes:
        block: Rows per block of a scan that is parallel in time, for long series on an
            accelerator; None for row by row, the fastest on a processor.
    """

    block: int | None = eqx.field(static=True)

    def __init__(self, block: int | None = None) -> None:
        """Check and keep the settings.

        Args:
            block: Rows per block, or None for row by row.

        Raises:
            InputError: The block is shorter than two rows.
        """
        if block is not None and block < 2:
            raise InputError(
                f"`block` must be at least 2 rows; got {block}. Pass about the square "
                "root of the length of the series, or None."
            )
        self.block = block

    def check(self, model: AbstractModel) -> None:
        """Raise unless `model` is a hidden Markov model.

        Args:
            model: The model.

        Raises:
            MethodError: It is another kind.
        """
        require_hidden_markov(model, "ForwardBackward")

    def init(self, model: AbstractModel, *, key: Key | None = None) -> ModeState:
        """Return the initial probabilities, with nothing seen before."""
        hidden = require_hidden_markov(model, "ForwardBackward")
        log_probs = hidden.initial.log_probs
        return ModeState(log_probs - log_sum(log_probs), hidden.start_past())

    def predict(
        self,
        model: AbstractModel,
        state: ModeState,
        u: Input,
        dt: ScalarLike,
        *,
        key: Key | None = None,
    ) -> ModeState:
        """Return log sum_i p_i P_ij."""
        hidden = require_hidden_markov(model, "ForwardBackward")
        log_matrix = safe_log(hidden.chain.matrix(u, dt))
        return ModeState(log_turn(state.log_probs, log_matrix), state.past)

    def update(
        self,
        model: AbstractModel,
        state: ModeState,
        y: Float[Array, " obs"],
        mask: Bool[Array, " obs"],
        u: Input,
        *,
        key: Key | None = None,
    ) -> tuple[ModeState, ModeInfo]:
        """Return the modes given the observed entries of `y`."""
        hidden = require_hidden_markov(model, "ForwardBackward")
        y = jnp.where(mask, y, 0.0)
        one = jax.tree.map(lambda x: x[None], state.past)
        emitted = hidden.observation.log_probs(y[None], mask[None], one)
        joint = state.log_probs + emitted[0]
        evidence = log_sum(joint) - log_sum(state.log_probs)
        rows = Rows(y[None], mask[None], y[:1], u)
        predicted = state.log_probs[None]
        info = _diagnose(hidden, rows, one, predicted, emitted, evidence[None])
        log_probs = jnp.where(jnp.any(mask), joint - log_sum(joint), state.log_probs)
        past = remember(state.past, y, mask)
        return ModeState(log_probs, past), jax.tree.map(lambda x: x[0], info)

    def belief(self, state: ModeState) -> AbstractBelief:
        """Return the probabilities as a distribution over the rows of the identity."""
        return Categorical(state.log_probs)

    def log_likelihood(self, info: AbstractInfo) -> Scalar:
        """Return log sum_j P(mode j | before) p(y | mode j)."""
        assert isinstance(info, ModeInfo)
        return info.log_evidence

    def filter_rows(
        self, model: AbstractModel, running: Running, rows: Rows
    ) -> SeriesPass:
        """Take in many rows at once.

        Args:
            model: The model.
            running: Where the run stands before the first of them.
            rows: The rows.

        Returns:
            States and infos, and where the run stands.
        """
        hidden = require_hidden_markov(model, "ForwardBackward")
        if self._cuts(hidden, rows):
            follow = lambda running, rows: self._follow(hidden, running, rows)
            return filter_pieces(follow, running, rows, hidden.modes)
        return self._follow(hidden, running, rows)

    def _cuts(self, model: HiddenMarkov, rows: Rows) -> bool:
        """Tell whether a series is followed in pieces."""
        return self.block is None and long(rows.t.shape[0], model.modes)

    def _follow(self, hidden: HiddenMarkov, running: Running, rows: Rows) -> SeriesPass:
        """Take in rows that are worth no cut."""
        state: ModeState = running.state
        dts, moves = running.gaps(rows.t)
        dts = dts.astype(rows.y.dtype)
        u = None if rows.u is None else rows.u[0]
        moved = self.predict(hidden, state, u, dts[0])
        first = jnp.where(moves[0], moved.log_probs, state.log_probs)
        past = pasts(state.past, rows.y, rows.mask)
        emitted = hidden.observation.log_probs(rows.y, rows.mask, past)
        matrices = step_matrices(hidden, rows.u, dts)
        predicted, joint, evidence = filter_modes(first, matrices, emitted, self.block)
        seen = jnp.any(rows.mask, axis=1)
        filtered = jnp.where(seen[:, None], joint, predicted)
        info = _diagnose(hidden, rows, past, predicted, emitted, evidence)
        latest = jax.tree.map(lambda x: x[-1], past)
        kept = remember(latest, rows.y[-1], rows.mask[-1])
        after = jax.tree.map(
            lambda x, x_end: jnp.append(x[1:], x_end[None], 0), past, kept
        )
        last = ModeState(filtered[-1], kept)
        return SeriesPass(
            ModeState(predicted, past),
            ModeState(filtered, after),
            info,
            running.after(last, rows.t),
        )

    def smooth_rows(
        self, model: AbstractModel, rows: Rows, done: SeriesPass
    ) -> ModeState:
        """Return the modes at each row given all rows.

        Args:
            model: The model.
            rows: The rows.
            done: What `filter_rows` returned for them.
        """
        hidden = require_hidden_markov(model, "ForwardBackward")
        info = done.info
        assert isinstance(info, ModeInfo)
        dts = jnp.diff(rows.t, prepend=rows.t[:1] - 1.0).astype(rows.y.dtype)
        filtered: ModeState = done.filtered
        if self._cuts(hidden, rows):
            log_probs = smooth_pieces(
                filtered.log_probs,
                info.log_emitted,
                Step(rows.u, dts),
                lambda steps: all_matrices(hidden, steps.u, steps.dt),
            )
            return ModeState(log_probs, filtered.past)
        matrices = step_matrices(hidden, rows.u, dts)
        log_probs = smooth_modes(
            filtered.log_probs, matrices, info.log_emitted, self.block
        )
        return ModeState(log_probs, filtered.past)


def require_hidden_markov(model: AbstractModel, method: str) -> HiddenMarkov:
    """Return a model that `method` needs to be a hidden Markov model.

    Args:
        model: The model.
        method: Name of the method that asks.

    Raises:
        MethodError: It is another kind.
    """
    if not isinstance(model, HiddenMarkov):
        raise MethodError(
            f"`{method}` needs a HiddenMarkov model; got {type(model).__name__}. Use "
            "Kalman() where it is linear, InteractingMultipleModel() where it switches "
            "between linear modes."
        )
    return model


def step_matrices(
    model: HiddenMarkov,
    u: Float[Array, "time input"] | None,
    dts: Float[Array, " time"],
) -> Matrices:
    """Return the matrix of the step to each row after the first, or of all steps.

    Args:
        model: The model.
        u: Exogenous input of each row, or None.
        dts: Length of the step that ends at each row.
    """
    if model.chain.steady:
        return all_matrices(model, u, dts)
    return all_matrices(model, None if u is None else u[1:], dts[1:])


def all_matrices(
    model: HiddenMarkov,
    u: Float[Array, "step input"] | None,
    dts: Float[Array, " step"],
) -> Matrices:
    """Return the matrix of each step, or of all.

    Args:
        model: The model.
        u: Exogenous input of each step, or None.
        dts: Length of each step.
    """
    if model.chain.steady:
        return model.chain.matrix(None if u is None else u[0], dts[0])
    return jax.vmap(model.chain.matrix)(u, dts)


def _diagnose(
    model: HiddenMarkov,
    rows: Rows,
    past: Past,
    log_predicted: Float[Array, "time mode"],
    log_emitted: Float[Array, "time mode"],
    log_evidence: Float[Array, " time"],
) -> ModeInfo:
    """Return the diagnostics of many rows."""
    mean, cov = model.observation.predict(jnp.exp(log_predicted), past)
    seen = rows.mask
    if model.observation.order:
        # nothing is said of a row whose earlier rows are missing
        known = jnp.all(past.seen, axis=1, keepdims=True)
        seen, cov = seen & known, jnp.where(known[:, :, None], cov, jnp.inf)
    innovation = jnp.where(seen, rows.y - mean, 0.0)
    evidence = jnp.where(jnp.any(rows.mask, axis=1), log_evidence, 0.0)
    return ModeInfo(innovation, cov, log_emitted, evidence)
