"""What goes into the network filter at every tick, what it carries, what it says."""

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int

from slipstate.assimilate.common_mode import CommonMode
from slipstate.ground.types import Scalar


class NetworkRow(eqx.Module):
    """What arrives in one tick, or with a leading time axis in many.

    Attributes:
        y: Observations; any finite number where masked.
        mask: True where observed.
        scale: Factor on the noise scale, from the formal error of the day.
        quiet: True to forbid every mode but the first (used to weigh an event).
    """

    y: Float[Array, "*time station comp"]
    mask: Bool[Array, "*time station comp"]
    scale: Float[Array, "*time station comp"]
    quiet: Bool[Array, "*time"]


class NetworkState(eqx.Module):
    """What the filter carries from tick to tick.

    Attributes:
        log_probs: log P(mode).
        log_weights: log P(hypothesis) per station: no step, and the open step.
        mean: State means.
        cov: State covariances.
        age: Observed ticks since the open step; 0 where none is open.
        common: Common mode under each mode of the switch.
        unrest: Factor on the noise variance, following how noisy a station has become.
    """

    log_probs: Float[Array, " mode"]
    log_weights: Float[Array, "station 2"]
    mean: Float[Array, "station 2 mode comp state"]
    cov: Float[Array, "station 2 mode comp state state"]
    age: Int[Array, " station"]
    common: CommonMode
    unrest: Float[Array, "station comp"]


class NetworkTick(eqx.Module):
    """What the filter says after one tick.

    Attributes:
        log_likelihood: log p(y | past) [nats].
        log_probs: log P(mode | past and y).
        log_predicted: log P(mode | past).
        step_prob: P(the open step is real), 0 where none is open.
        accepted: True where an open step was accepted in this tick.
        age: Observed ticks since the step that was open in this tick.
        innovation: y minus its prediction; 0 where masked.
        innovation_var: Squared scale of that prediction.
        signal: Filtered noise-free signal.
        signal_var: Its variance.
        common: Filtered common mode.
        unrest: Factor on the noise variance from now on.
        weight: Weights of the forecast mixture.
        forecast: Means of the forecast mixture of the signal plus common mode.
        forecast_var: Variances, without observation noise.
    """

    log_likelihood: Scalar
    log_probs: Float[Array, " mode"]
    log_predicted: Float[Array, " mode"]
    step_prob: Float[Array, " station"]
    accepted: Bool[Array, " station"]
    age: Int[Array, " station"]
    innovation: Float[Array, "station comp"]
    innovation_var: Float[Array, "station comp"]
    signal: Float[Array, "station comp"]
    signal_var: Float[Array, "station comp"]
    common: Float[Array, " comp"]
    unrest: Float[Array, "station comp"]
    weight: Float[Array, "station 2 mode"]
    forecast: Float[Array, "horizon station 2 mode comp"]
    forecast_var: Float[Array, "horizon station 2 mode comp"]
