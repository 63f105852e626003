"""Following a stream in real time: every observation in time, whatever comes.

    follow = Assimilator(model, BridgeFilter(members=50), deadline=0.01, key=key)
    report = follow.step(y, t=t)       # masked, irregular, late, double: as it comes
    follow.ahead(t).lower              # what will be seen then, calibrated
    follow.running                     # the state, as any driver takes it

One row is what was observed at one time. Rows come in any order within the last `lag`
of them; the answer is that of the run in order (`arrivals`). Where the deadline nears,
less is done (`ladder`), and `catch_up` does the rest when there is time. Innovations
tell whether the filter is on track (`health`); a lost one starts again from the
climatology (`recovery`). Intervals are calibrated as observations come in
(`conformal`). Memory does not grow with the run, and a run that is killed goes on from
its last checkpoint as if it had never stopped.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from slipstate.assimilate.arrivals import Arrival, Place, Row, find_place, read_row
from slipstate.assimilate.conformal import Conformal, Interval
from slipstate.assimilate.health import Condition, Health
from slipstate.assimilate.ladder import (
    Cost,
    Rung,
    choose_rung,
    first_cost,
    ladder_of,
)
from slipstate.assimilate.live import Kept, Report, Taken, Watch
from slipstate.assimilate.live_file import Stand, load_stand, save_stand
from slipstate.assimilate.programs import Programs
from slipstate.assimilate.protocol import AbstractFilter, Running
from slipstate.ground.arrays import Numbers
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.types import Key, ScalarLike
from slipstate.systems.beliefs import AbstractBelief
from slipstate.systems.protocol import AbstractModel

_TRIALS = 4  # of each rung before the first row; the first of them compiles


class Assimilator:
    """A run that takes in observations as they come, each before a deadline.

    Attributes:
        programs: What is compiled; give it to another run of the same model.
        tally: How often each arrival, rung and alarm came, by name.
        costs: What each rung takes per row.
    """

    def __init__(
        self,
        model: AbstractModel,
        method: AbstractFilter,
        *,
        deadline: float | None = None,
        rungs: Sequence[Rung] | None = None,
        climate: AbstractBelief | None = None,
        share: float = 0.5,
        health: Health | None = None,
        conformal: Conformal | None = None,
        lag: int = 8,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int = 1000,
        t0: ScalarLike | None = None,
        clock: Callable[[], float] = time.perf_counter,
        programs: Programs | None = None,
        key: Key | None = None,
    ) -> None:
        """Start a run, or go on from a checkpoint with `resume`.

        Args:
            model: The model.
            method: The filter.
            deadline: Time that a step may take [s]; None for as long as it takes. With
                a deadline every rung is compiled and tried here.
            rungs: The ladder; None for `ladder_of(method)`.
            climate: What is possible, for recovery, such as `climatology` returns;
                None for alarms alone.
            share: Weight of the climatology at a recovery.
            health: Settings of the alarms.
            conformal: Settings of the calibration of intervals.
            lag: Rows kept for what comes late.
            checkpoint: File to keep the run in; None for none.
            every: Rows between two checkpoints.
            t0: Time at which the initial belief holds; as for `init`.
            clock: Returns the time [s].
            programs: What an earlier run of the same model compiled; then `rungs`,
                `climate` and `share` are its.
            key: Random key; needed by methods that draw.

        Raises:
            InputError: A setting means nothing.
            MethodError: The method cannot treat this model.
        """
        if lag < 1 or every < 1 or (deadline is not None and not deadline > 0.0):
            raise InputError(
                "`lag` and `every` must be at least 1 and `deadline` positive [s]; got "
                f"{lag}, {every}, {deadline}. Leave them out for the defaults."
            )
        ladder = ladder_of(method) if rungs is None else rungs
        if programs is None:
            programs = Programs(model, ladder, climate=climate, share=share)
        elif programs.model is not model or programs.method is not method:
            raise MethodError(
                "`programs` must belong to this very model and method; they were "
                "compiled for others. Leave `programs` out."
            )
        self.programs = programs
        self.deadline, self.lag, self.every = deadline, lag, every
        self.health = Health() if health is None else health
        self.conformal = Conformal() if conformal is None else conformal
        self.clock = clock
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.tally: Counter[str] = Counter()
        self._unsaved = 0
        self.carry = programs.start(t0, key)
        self.watch = Watch(Condition(), self.conformal.start(programs.obs))
        self.kept: list[Kept] = []
        self.floor = -np.inf if t0 is None else float(t0)
        self.costs = (
            [self._try(k) for k in range(len(programs.rungs))]
            if deadline is not None
            else [Cost(0.0, 0.0) for _ in programs.rungs]
        )

    def step(
        self,
        y: Numbers,
        *,
        t: float,
        mask: Numbers | None = None,
        u: Numbers | None = None,
        budget: float | None = None,
    ) -> Report:
        """Take in what was observed at one time, or a part of it.

        Args:
            y: The observation, NaN where missing.
            t: Its time; it may lie before the time at which the run stands.
            mask: True where observed; None for wherever `y` is not NaN.
            u: Exogenous input, or None.
            budget: Time left for this step [s]; None for the deadline.

        Returns:
            What was done.

        Raises:
            InputError: A size is wrong, or an observed value is not finite. The run is
                as it was before.
        """
        began = self.clock()
        row = read_row(self.programs.obs, y, t, mask, u)
        place = find_place([kept.row for kept in self.kept], self.floor, row)
        self.tally[place.arrival.name] += 1
        if place.arrival in (Arrival.duplicate, Arrival.too_late):
            return self._nothing(place.arrival, began)
        return self._work(place, began, budget)

    def catch_up(self) -> Report | None:
        """Work again on the kept rows that a deadline left to a lower rung.

        Returns:
            What was done; None where nothing was left.
        """
        behind = [k for k, kept in enumerate(self.kept) if kept.rung]
        if not behind:
            return None
        place = Place(Arrival.revised, behind[0], self.kept[behind[0]].row)
        return self._work(place, self.clock(), np.inf)

    def ahead(self, t: float, u: Numbers | None = None) -> Interval:
        """Return what will be observed at a time, without letting it pass.

        Args:
            t: The time; not before the one at which the run stands.
            u: Exogenous input, or None.

        Raises:
            InputError: The time has passed.
        """
        if not t >= self.t:
            raise InputError(
                f"`t` must not be before {self.t:.10g}, where the run stands; got "
                f"{t:.10g}. Pass a later time."
            )
        obs = self.programs.obs
        row = read_row(obs, np.full(obs, np.nan), t, None, u)
        mean, sd = self.programs.ahead(self.carry, row.given())
        return self.conformal.interval(self.watch.log_q, mean, sd)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write where the run stands, whole or not at all.

        Args:
            path: The file.

        Raises:
            OutputError: It cannot be written; an older one is untouched.
        """
        stand = Stand(
            self.carry,
            self.watch,
            self.kept,
            self.floor,
            self.costs,
            dict(self.tally),
        )
        save_stand(path, stand, self.programs)
        self._unsaved = 0

    def resume(self, path: str | os.PathLike[str] | None = None) -> bool:
        """Go on from a checkpoint; what came before it may come again.

        Rows that are given again are known to be double or too late, so a source that
        repeats the last rows, or all of them, does no harm.

        Args:
            path: The file; None for the checkpoint of this run.

        Returns:
            Whether there was a file to go on from.

        Raises:
            CheckpointError: It is damaged, or of another model or method.
        """
        place = self.checkpoint if path is None else Path(path)
        if place is None or not place.exists():
            return False
        stand = load_stand(place, self.programs)
        self.carry, self.watch, self.kept = stand.carry, stand.watch, stand.kept
        self.floor, self.costs = stand.floor, stand.costs
        self.tally = Counter(stand.tally)
        return True

    @property
    def t(self) -> float:
        """Time at which the run stands; minus infinity before its first row."""
        return self.kept[-1].row.t if self.kept else self.floor

    @property
    def running(self) -> Running:
        """Where the run stands, as `step` and `filter_series` go on from."""
        return self.programs.unpack(self.carry)

    @property
    def belief(self) -> AbstractBelief:
        """What is believed about the state."""
        return self.programs.method.belief(self.running.state)

    def _work(self, place: Place, began: float, budget: float | None) -> Report:
        """Work on a row and on those after it."""
        index = place.number
        after = self.kept[index:]
        if after and place.arrival is not Arrival.late:
            after = after[1:]  # its own row, which it takes the place of
        rows = [place.row, *(kept.row for kept in after)]
        if index < len(self.kept):
            self.carry, self.watch = self.kept[index][:2]
            del self.kept[index:]
        limit = self.deadline if budget is None else budget
        rung = 0
        if limit is not None:
            left = limit - (self.clock() - began)
            rung = choose_rung(self.programs.rungs, self.costs, left, len(rows))
        started = self.clock()
        done = [self._take(row, rung) for row in rows]
        ended = self.clock()
        self._learn(rung, (ended - started) / len(rows))
        while len(self.kept) > self.lag:
            self.floor = self.kept.pop(0).row.t
        last = done[-1]
        name = self.programs.rungs[rung].name
        self.tally[name] += len(rows)
        report = Report(
            place.arrival,
            self.t,
            len(rows),
            name,
            ended - began,
            limit is not None and ended - began > limit,
            last.alarms,
            any(row.recovered for row in done),
            last.log_likelihood,
            last.innovation,
            last.interval,
        )
        self.tally["missed"] += report.missed
        self._unsaved += len(rows)
        if self.checkpoint is not None and self._unsaved >= self.every:
            self.save(self.checkpoint)
        return report

    def _take(self, row: Row, rung: int) -> Taken:
        """Take in one row, keep it, and judge what it says."""
        before = Kept(self.carry, self.watch, row, rung)
        self.carry, found = self.programs.take(rung, self.carry, row.given())
        condition, alarms = self.health.judge(before.watch.condition, found.signs)
        usable = row.mask & (found.sd > 0.0)
        sd = np.where(usable, found.sd, np.nan)
        log_q = self.conformal.learn(before.watch.log_q, found.innovation / sd, usable)
        recovered = self.programs.recovers and self.health.recovers(alarms)
        if recovered:
            self.carry, condition = self.programs.recover(self.carry), Condition()
        for alarm in alarms:
            self.tally[alarm.name] += 1
        self.tally["recovered"] += recovered
        self.watch = Watch(condition, log_q)
        self.kept.append(before)
        mean = np.where(row.mask, row.y - found.innovation, np.nan)
        interval = self.conformal.interval(before.watch.log_q, mean, found.sd)
        return Taken(
            alarms, recovered, found.log_likelihood, found.innovation, interval
        )

    def _nothing(self, arrival: Arrival, began: float) -> Report:
        """Report a call after which everything is as it was."""
        nothing = np.full(self.programs.obs, np.nan)
        interval = self.conformal.interval(self.watch.log_q, nothing, nothing)
        took = self.clock() - began
        return Report(
            arrival, self.t, 0, "", took, False, (), False, 0.0, nothing, interval
        )

    def _try(self, rung: int) -> Cost:
        """Compile a rung, and measure it on a row without observations."""
        obs = self.programs.obs
        t = 0.0 if np.isinf(self.floor) else self.floor
        row = read_row(obs, np.full(obs, np.nan), t, None, None)
        durations = []
        for _ in range(_TRIALS):
            started = self.clock()
            self.programs.take(rung, self.carry, row.given())
            durations.append(self.clock() - started)
        if self.programs.recovers and rung == 0:
            self.programs.recover(self.carry)
        return first_cost(durations[1:])

    def _learn(self, rung: int, seconds: float) -> None:
        """Learn what a rung takes; forgive those that were not taken."""
        self.costs = [
            cost.learn(seconds) if k == rung else cost.forgive()
            for k, cost in enumerate(self.costs)
        ]
