"""Looking back over a followed record: when it slipped, what stepped, by how much.

The filter judges in arrival order; here everything that came later counts too. Slow
slip is dated by the smoothed switch and weighed by the evidence, steps are dated and
weighed against every day around them, and offsets come from one generalised least
squares fit of all events together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import numpy as np

from slipstate.assimilate.mixing import backward_probabilities
from slipstate.assimilate.network import NetworkFilter
from slipstate.assimilate.network_records import NetworkState, NetworkTick
from slipstate.assimilate.network_smoother import smooth_network
from slipstate.fit.progress import Progress
from slipstate.systems.network import ForecastRows, NetworkModel
from slipstate.watch.detect import (
    Event,
    is_resolved,
    is_rupture,
    slip_events,
    step_events,
)
from slipstate.watch.estimate import Estimate
from slipstate.watch.excursions import came_back, excursions
from slipstate.watch.offsets import EventShape, event_offsets, slip_shape, step_shape
from slipstate.watch.series import TickSeries
from slipstate.watch.step_days import accepted_days, weigh_steps
from slipstate.watch.weigh import slip_probability


@dataclass(frozen=True)
class Past:
    """What all the observations together say about the past.

    Attributes:
        slipping: Smoothed probability of slipping, by tick.
        state_mean: Smoothed states [model unit].
        state_sd: Their standard deviations.
        signal_sd: Standard deviation of the smoothed signal.
        events: The events, in order of onset.
        offsets: Their offsets (event, station, comp), units of the record.
        offset_sds: Standard errors of the offsets.
    """

    slipping: np.ndarray
    state_mean: np.ndarray
    state_sd: np.ndarray
    signal_sd: np.ndarray
    events: list[Event]
    offsets: np.ndarray
    offset_sds: np.ndarray


def look_back(
    series: TickSeries,
    method: NetworkFilter,
    estimate: Estimate,
    model: NetworkModel,
    rows: ForecastRows,
    states: Callable[[int], NetworkState],
    ticks: NetworkTick,
    progress: Progress,
) -> Past:
    """Find, weigh and measure the events of a followed record.

    Args:
        series: The observations.
        method: The filter that followed them.
        estimate: The fit.
        model: The fitted network.
        rows: Horizons of the filter's own forecasts.
        states: Returns the filter's state before the piece that begins at a tick.
        ticks: What the filter said, in arrival order.
        progress: Shows what is going on.

    Returns:
        The past.
    """
    probs, pairs = backward_probabilities(
        jax.device_put(ticks.log_probs),
        jax.device_put(ticks.log_predicted),
        model.switch,
    )
    terms = np.asarray(ticks.log_likelihood)
    smoothed = 1.0 - np.asarray(probs)[:, 0]

    def probability(first: int, last: int) -> float:
        return slip_probability(first, last, method, model, rows, states, series, terms)

    filtered = 1.0 - np.exp(ticks.log_probs[:, 0])
    with progress.task("weighing slow slip", "candidate") as advance:
        slips = slip_events(
            series, filtered, smoothed, np.asarray(pairs), probability, advance
        )
    S, T = len(series.stations), len(series.times)
    ramps = [slip_shape(e.first, e.last, smoothed, S) for e in slips]
    days = accepted_days(
        np.asarray(ticks.accepted),
        np.asarray(ticks.age),
        np.any(series.mask, axis=-1),
    )
    columns = [np.zeros((T, 0)), *(ramp.columns for ramp in ramps)]
    # looking back, every day counts as much as the station was quiet then
    weighed = replace(series, scale=series.scale * np.sqrt(ticks.unrest))
    found = weigh_steps(
        weighed, estimate.parameters, estimate.prior, days, np.concatenate(columns, 1)
    )
    steps = step_events(series, np.asarray(ticks.step_prob), found)
    shapes = ramps + [_step(e, S, T, series.tick) for e in steps]
    offsets, sds = event_offsets(weighed, estimate.parameters, shapes)
    real = _reportable(series, estimate, slips, steps, offsets, sds)
    events = [(slips + steps)[k] for k in real]
    order = np.argsort([e.first for e in events], kind="stable")
    events = [events[k] for k in order]
    offsets, sds = offsets[real][order], sds[real][order]
    kicks = np.zeros_like(days)
    for event in steps:
        kicks[event.first, event.stations] = True
    state_mean, state_sd, signal_sd = (
        np.asarray(x)
        for x in smooth_network(
            model,
            jax.device_put(series.y),
            jax.device_put(series.mask),
            jax.device_put(weighed.scale),
            jax.device_put(smoothed),
            jax.device_put(kicks),
            method.dof,
        )
    )
    return Past(smoothed, state_mean, state_sd, signal_sd, events, offsets, sds)


def _reportable(
    series: TickSeries,
    estimate: Estimate,
    slips: list[Event],
    steps: list[Event],
    offsets: np.ndarray,
    sds: np.ndarray,
) -> list[int]:
    """Return the numbers of the events worth reporting, slips first."""
    rate = np.asarray(estimate.parameters.slip_rate) * series.unit
    values = series.values() * series.unit
    rates = np.asarray(estimate.prior.rate) * series.unit
    real = [k for k in range(len(slips)) if is_resolved(offsets[k], sds[k], rate)]
    known = range(len(slips), len(slips) + len(steps))
    # a step of several stations is judged by the first of them
    station = np.array([int(np.argmax(e.stations)) for e in steps], int)
    own = (np.array(known, int), station)
    undone = excursions(
        np.array([e.first * series.tick for e in steps], float),
        station,
        offsets[own],
        sds[own],
    )
    for k, event, gone in zip(known, steps, undone, strict=True):
        place = (offsets[k], sds[k], event.stations, series.components)
        s = int(np.argmax(event.stations))
        gone = gone or came_back(
            values[:, s], event.first, rates[s], offsets[k, s], sds[k, s], series.tick
        )
        if not gone and is_rupture(*place):
            real.append(k)
    return real


def _step(event: Event, stations: int, ticks: int, tick: float) -> EventShape:
    """Return the shape of a step of several stations."""
    shape = step_shape(event.first, 0, stations, ticks, tick)
    return EventShape(shape.columns, event.stations)
