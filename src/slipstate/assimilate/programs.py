"""The compiled programs of a run under a deadline: one per rung, one to recover."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate.bridge.filter import BridgeInfo
from slipstate.assimilate.bridge.local import LocalBridgeInfo
from slipstate.assimilate.health import Signs, innovation_square
from slipstate.assimilate.ladder import Rung, check_ladder
from slipstate.assimilate.layout import Layout
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.particle import ParticleInfo
from slipstate.assimilate.protocol import AbstractFilter, AbstractInfo, Running
from slipstate.assimilate.recovery import blend, hand_over, predicted_moments
from slipstate.assimilate.run import init
from slipstate.assimilate.sequential import advance, row_model
from slipstate.ground.errors import MethodError
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, masked_log_density
from slipstate.systems.protocol import AbstractModel, AbstractStateSpaceModel

_MANY = 64  # components up to which their correlation enters the innovation square
_LEAST = -1e4  # of a log-likelihood [nats]: how unlikely is not worth telling further
_APART = 0x5EED  # keeps the keys of handing over and recovery from those of the row

Carry = list[Array]
"""A running state in its buffers; never changed, so that keeping it costs nothing."""


class Numbers(NamedTuple):
    """What a program says about one row.

    Attributes:
        signs: What the row says about the filter.
        log_likelihood: log p(row | rows before) [nats]; 0 where nothing was observed
            or taken in.
        innovation: Observation minus its prediction; 0 where masked.
        sd: Standard deviation of the prediction of every component, noise included.
    """

    signs: Signs
    log_likelihood: float
    innovation: Float[np.ndarray, " obs"]
    sd: Float[np.ndarray, " obs"]


class Programs:
    """What is compiled once and shared by all runs of one model with one ladder.

    Attributes:
        model: The model.
        rungs: The ladder; the first method's state is what is carried.
        method: The first method.
        obs: Number of components of an observation.
        recovers: Whether there is a climatology to recover from.
    """

    def __init__(
        self,
        model: AbstractModel,
        rungs: Sequence[Rung],
        *,
        climate: AbstractBelief | None = None,
        share: ScalarLike = 0.5,
    ) -> None:
        """Prepare the programs; each is compiled when it is first run.

        Args:
            model: The model.
            rungs: The ladder.
            climate: The climatology; None for no recovery.
            share: Weight of the climatology at a recovery.

        Raises:
            InputError: The ladder does not begin with a method.
            MethodError: A method cannot treat this model, or recovery, or a ladder of
                several methods, is asked for of a model with several transitions.
        """
        check_ladder(rungs)
        self.model, self.rungs = model, tuple(rungs)
        self.method = _first(rungs)
        self.obs = len(model.observation.units)
        self.recovers = climate is not None
        others = {type(rung.method) for rung in rungs if rung.method is not None}
        single = isinstance(model, AbstractStateSpaceModel)
        if not single and (self.recovers or len(others) > 1):
            raise MethodError(
                "`climate` and rungs of other methods need a model of one transition; "
                f"got {type(model).__name__}. Leave `climate` out and pass "
                'rungs=(Rung("full", method), Rung("forecast only", None)).'
            )
        for rung in rungs:
            if rung.method is not None:
                rung.method.check(row_model(model, 0))
        self._climate = climate
        self._share = share
        self._seen = None
        if climate is not None:
            key = jax.random.key(_APART)
            self._seen = predicted_moments(model, climate, key=key)
        self._layout: Layout | None = None
        self._like: Carry = []
        self._rows = [jax.jit(self._take(rung)) for rung in self.rungs]
        self._again = jax.jit(self._recover)
        self._ahead = jax.jit(self._look)

    def start(self, t0: ScalarLike | None, key: Key | None) -> Carry:
        """Return where a run begins.

        Args:
            t0: Time at which the initial belief holds; as for `init`.
            key: Random key; needed by methods that draw.
        """
        return self.pack(init(self.model, self.method, t0=t0, key=key))

    def pack(self, running: Running) -> Carry:
        """Return a running state in buffers."""
        if self._layout is None:
            self._layout = Layout(running)
            self._like = self._layout.pack(running)
        return self._layout.pack(running)

    def unpack(self, carry: Carry) -> Running:
        """Return the running state that buffers hold."""
        return self._known.unpack(carry)

    def take(
        self, rung: int, carry: Carry, given: Float[np.ndarray, " numbers"]
    ) -> tuple[Carry, Numbers]:
        """Take in one row on a rung.

        Args:
            rung: Number of the rung.
            carry: Where the run stands.
            given: The row, as `Row.given` returns it.
        """
        carry, flat = self._rows[rung](carry, given)
        return carry, self._read(np.asarray(flat), given)

    def recover(self, carry: Carry) -> Carry:
        """Return where the run stands after starting again from the climatology."""
        return self._again(carry)

    def ahead(
        self, carry: Carry, given: Float[np.ndarray, " numbers"]
    ) -> tuple[Float[np.ndarray, " obs"], Float[np.ndarray, " obs"]]:
        """Return mean and standard deviation of the observation at a later time.

        Args:
            carry: Where the run stands.
            given: A row of that time; what it says was observed does not matter.
        """
        mean, sd = np.asarray(self._ahead(carry, given))
        return mean, sd

    @property
    def like(self) -> Carry:
        """Buffers as those of every run, whatever they hold."""
        return self._like

    @property
    def _known(self) -> Layout:
        assert self._layout is not None
        return self._layout

    def _row(self, running: Running, given: Array) -> Rows:
        dtype = self.model.initial.mean().dtype
        t, values = given[0], given[1:].astype(dtype)
        y, seen, u = jnp.split(values, [self.obs, 2 * self.obs])
        inputs = u if u.shape[0] else None
        return Rows(y, seen > 0, t.astype(running.t.dtype), inputs)

    def _take(self, rung: Rung) -> Any:
        """Return the program of one rung."""

        def program(carry: Carry, given: Array) -> tuple[Carry, Array]:
            running = self._known.unpack(carry)
            row = self._row(running, given)
            if rung.method is None:
                running = self._pass_time(running, row)
                return self._known.pack(running), jnp.zeros(0)
            running, info = self._update(rung.method, running, row)
            numbers = self._describe(rung.method, running, info, row)
            return self._known.pack(running), numbers

        return program

    def _pass_time(self, running: Running, row: Rows) -> Running:
        """Let time pass; the row counts, so that what is drawn later stays the same."""
        model = row_model(self.model, running.count)
        key, _ = running.keys()
        dt = jnp.where(running.moves, row.t - running.t, 1.0).astype(row.y.dtype)
        moved = self.method.predict(model, running.state, row.u, dt, key=key)
        pick = lambda new, old: jnp.where(running.moves, new, old)
        state = jax.tree.map(pick, moved, running.state)
        count = running.count + 1
        return Running(state, row.t, jnp.asarray(True), count, running.key)

    def _update(
        self, method: AbstractFilter, running: Running, row: Rows
    ) -> tuple[Running, AbstractInfo]:
        """Take a row in with any method; the state stays that of the first."""
        if type(method) is type(self.method):
            running, _, info = advance(self.model, running, row, method)
            return running, info
        there, back = jax.random.split(_own_key(running))
        state = self._hand(method, self.method.belief(running.state), there)
        lent = eqx.tree_at(lambda r: r.state, running, state)
        lent, _, info = advance(self.model, lent, row, method)
        state = self._hand(self.method, method.belief(lent.state), back)
        return eqx.tree_at(lambda r: r.state, lent, state), info

    def _hand(self, method: AbstractFilter, belief: AbstractBelief, key: Key) -> Any:
        return hand_over(self.model, method, belief, key=key)

    def _describe(
        self, method: AbstractFilter, running: Running, info: AbstractInfo, row: Rows
    ) -> Array:
        """Return what a row says, in one buffer."""
        dtype = row.y.dtype
        cov, mask = info.innovation_cov, row.mask
        variance = jnp.diagonal(cov)
        if self.obs <= _MANY:
            square = innovation_square(info.innovation, cov, mask)
        else:
            square = innovation_square(info.innovation, jnp.diag(variance), mask)
        log_likelihood = method.log_likelihood(info)
        state = [x for x in jax.tree.leaves(running.state) if _is_real(x)]
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in state]))
        lead = jnp.asarray(jnp.inf, dtype)
        if self._seen is not None:
            mean, spread = self._seen
            gap = jnp.where(mask, row.y - mean, 0.0)
            known = masked_log_density(gap, spread, mask)
            lead = _bounded(log_likelihood) - _bounded(known)
        parts = [finite, square, lead, _effective(info, dtype), log_likelihood]
        flat = jnp.stack([jnp.asarray(part, dtype) for part in parts])
        sd = jnp.sqrt(jnp.maximum(variance, 0.0))
        return jnp.concatenate([flat, info.innovation, sd])

    def _read(self, flat: np.ndarray, given: np.ndarray) -> Numbers:
        """Return what a program says as numbers of Python."""
        if not flat.size:  # time passed and nothing was taken in
            nothing = np.full(self.obs, np.nan)
            return Numbers(Signs(True, 0.0, 0, 0.0, np.inf), 0.0, nothing, nothing)
        finite, square, lead, effective, log_likelihood = flat[:5].tolist()
        count = int(given[1 + self.obs : 1 + 2 * self.obs].sum())
        signs = Signs(bool(finite), square, count, lead, effective)
        innovation, sd = flat[5 : 5 + self.obs], flat[5 + self.obs :]
        return Numbers(signs, log_likelihood, innovation, sd)

    def _recover(self, carry: Carry) -> Carry:
        running = self._known.unpack(carry)
        assert self._climate is not None
        mix, hand = jax.random.split(jax.random.fold_in(_own_key(running), 1))
        belief = self.method.belief(running.state)
        belief = blend(belief, self._climate, self._share, key=mix)
        state = self._hand(self.method, belief, hand)
        return self._known.pack(eqx.tree_at(lambda r: r.state, running, state))

    def _look(self, carry: Carry, given: Array) -> Array:
        running = self._known.unpack(carry)
        row = self._row(running, given)
        # zeros, taken as seen: the innovation is then minus the prediction
        zeros = Rows(jnp.zeros_like(row.y), jnp.ones_like(row.mask), row.t, row.u)
        info = self._update(self.method, running, zeros)[1]
        sd = jnp.sqrt(jnp.maximum(jnp.diagonal(info.innovation_cov), 0.0))
        return jnp.stack([-info.innovation, sd])


def _first(rungs: Sequence[Rung]) -> AbstractFilter:
    assert rungs[0].method is not None
    return rungs[0].method


def _own_key(running: Running) -> Key:
    """Return a key of the row that its prediction and update do not use."""
    key = jax.random.key(0) if running.key is None else running.key
    return jax.random.fold_in(jax.random.fold_in(key, _APART), running.count)


def _is_real(leaf: Any) -> bool:
    return bool(eqx.is_inexact_array(leaf))


def _bounded(log_likelihood: Scalar) -> Scalar:
    fine = jnp.isfinite(log_likelihood)
    least = jnp.asarray(_LEAST, log_likelihood.dtype)
    return jnp.where(fine, jnp.maximum(log_likelihood, least), least)


def _effective(info: AbstractInfo, dtype: Any) -> Scalar:
    """Return what the weights of an update are worth, in members."""
    if isinstance(info, BridgeInfo | LocalBridgeInfo | ParticleInfo):
        return info.effective_size
    return jnp.asarray(jnp.inf, dtype)
