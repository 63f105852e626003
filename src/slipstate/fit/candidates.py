"""Named models of one series, each with its own way from data to parameters.

    local-level      a random walk seen through white noise
    trend            a level with a slope, both walking
    trend-seasonal   the same with a year and half a year (of seconds: a day)
    markov           a trend whose slope walks, and first-order Gauss-Markov noise
    markov-seasonal  the same with seasons
    matern           a constant and a smooth process (Matern 3/2)
    switching        a level that drifts in one of two modes
    hmm              a hidden Markov model

A fit looks at the first part of the series only. Levels and slopes start exactly
diffuse; a season starts with a spread of three standard deviations of the data, and so
does the level of `switching`, about the mean of the data.
"""

import jax.numpy as jnp

from slipstate.assimilate.switching import InteractingMultipleModel
from slipstate.fit.candidate import (
    AbstractCandidate,
    Given,
    LikelihoodCandidate,
    ModeCandidate,
    Number,
    Values,
)
from slipstate.fit.series import Series
from slipstate.ground.errors import InputError
from slipstate.systems.drift_switch import DriftSwitch
from slipstate.systems.matern import Matern
from slipstate.systems.protocol import AbstractModel
from slipstate.systems.structural import (
    Level,
    Season,
    Stationary,
    Trend,
    gauss_markov,
    structural,
)

_SEASON_SPREAD = 3.0  # standard deviations of the data a season may have at first
_LEVEL_SPREAD = 3.0  # the same of a level whose start is not diffuse


def _seasons(given: Given) -> tuple[Season, ...]:
    spread = _SEASON_SPREAD * given.sd
    return tuple(Season(period, spread) for period in given.periods)


def _local_level(v: Values, given: Given) -> AbstractModel:
    return structural((Level(v["walk"]),), v["noise"], given.unit)


def _trend(v: Values, given: Given) -> AbstractModel:
    return structural((Trend(v["walk"], v["bend"]),), v["noise"], given.unit)


def _trend_seasonal(v: Values, given: Given) -> AbstractModel:
    parts = (Trend(v["walk"], v["bend"]), *_seasons(given))
    return structural(parts, v["noise"], given.unit)


def _markov(v: Values, given: Given) -> AbstractModel:
    parts = (Trend(0.0, v["bend"]), gauss_markov(v["sd"], v["time"]))
    return structural(parts, v["noise"], given.unit)


def _markov_seasonal(v: Values, given: Given) -> AbstractModel:
    parts = (Trend(0.0, v["bend"]), gauss_markov(v["sd"], v["time"]), *_seasons(given))
    return structural(parts, v["noise"], given.unit)


def _matern(v: Values, given: Given) -> AbstractModel:
    kernel = Matern(1.5, v["time"], v["sd"] ** 2)
    return structural((Level(0.0), Stationary(kernel)), v["noise"], given.unit)


def _switching(v: Values, given: Given) -> AbstractModel:
    return DriftSwitch(
        given.mean,
        _LEVEL_SPREAD * given.sd,
        jnp.stack([v["first"], v["second"]]) * given.slope,
        v["walk"],
        jnp.stack([v["leave first"], v["leave second"]]),
        v["noise"],
        given.unit,
    )


_NOISE = Number(lambda g, _: g.noise, "white noise, sd", "Y")
_WALK = Number(lambda g, _: g.walk, "random walk of the level", "Y/sqrt(T)")
_BEND = Number(
    lambda g, _: 0.1 * g.walk / (g.step * g.span) ** 0.5,
    "random walk of the slope",
    "Y/T/sqrt(T)",
)
_MARKOV = {
    "sd": Number(lambda g, _: max(g.noise, 0.2 * g.sd), "Gauss-Markov noise, sd", "Y"),
    "time": Number(lambda g, _: 10.0 * g.step, "its correlation time", "T"),
}

CANDIDATES: dict[str, AbstractCandidate] = {
    candidate.name: candidate
    for candidate in (
        LikelihoodCandidate(
            "local-level",
            "a level that walks at random, and white noise",
            _local_level,
            {"noise": _NOISE, "walk": _WALK},
        ),
        LikelihoodCandidate(
            "trend",
            "a level and its slope, both walking at random, and white noise",
            _trend,
            {"noise": _NOISE, "walk": _WALK, "bend": _BEND},
        ),
        LikelihoodCandidate(
            "trend-seasonal",
            "a level and its slope, both walking at random, two harmonics of the year "
            "(or day), and white noise",
            _trend_seasonal,
            {"noise": _NOISE, "walk": _WALK, "bend": _BEND},
            seasonal=True,
        ),
        LikelihoodCandidate(
            "markov",
            "a trend whose slope walks, first-order Gauss-Markov noise and white noise",
            _markov,
            {"noise": _NOISE, "bend": _BEND, **_MARKOV},
        ),
        LikelihoodCandidate(
            "markov-seasonal",
            "the same with two harmonics of the year (or day)",
            _markov_seasonal,
            {"noise": _NOISE, "bend": _BEND, **_MARKOV},
            seasonal=True,
        ),
        LikelihoodCandidate(
            "matern",
            "a constant, a smooth process (Matern 3/2) and white noise",
            _matern,
            {
                "noise": _NOISE,
                "sd": Number(lambda g, _: g.sd, "smooth process, sd", "Y"),
                "time": Number(lambda g, _: 0.05 * g.span, "its length scale", "T"),
            },
        ),
        LikelihoodCandidate(
            "switching",
            "a level that drifts in one of two modes, walks at random, and white noise",
            _switching,
            {
                "noise": _NOISE,
                "walk": _WALK,
                "first": Number(
                    lambda g, given: g.slopes[0] / float(given.slope),
                    "drift in mode A",
                    "Y/T",
                    True,
                ),
                "second": Number(
                    lambda g, given: g.slopes[1] / float(given.slope),
                    "drift in mode B",
                    "Y/T",
                    True,
                ),
                "leave first": Number(
                    lambda g, _: 0.1 / g.stretch, "rate of leaving A", "1/T"
                ),
                "leave second": Number(
                    lambda g, _: 0.5 / g.stretch, "rate of leaving B", "1/T"
                ),
            },
            method=InteractingMultipleModel(),
            modes=("A", "B"),
        ),
        ModeCandidate(),
    )
}
"""All candidates by name."""


def choose_candidates(
    names: list[str] | None, series: Series
) -> tuple[list[AbstractCandidate], dict[str, str]]:
    """Return the candidates to fit, and why others are left out.

    Args:
        names: Names asked for; None for all that the series can be fitted with.
        series: The series.

    Returns:
        The candidates, and the reason for each name that was not asked for but left
        out.

    Raises:
        InputError: A name is unknown, or a candidate that was asked for does not fit.
    """
    wanted = list(dict.fromkeys(names)) if names else list(CANDIDATES)
    unknown = [name for name in wanted if name not in CANDIDATES]
    if unknown:
        raise InputError(
            f"`model` must be one of {', '.join(CANDIDATES)}; got {unknown[0]}."
        )
    chosen, left_out = [], {}
    for name in wanted:
        reason = CANDIDATES[name].refusal(series)
        if reason is None:
            chosen.append(CANDIDATES[name])
        elif names:
            raise InputError(
                f"`model` {name} cannot be fitted to {series.name}: {reason}. Choose "
                "another model, or pass a longer record."
            )
        else:
            left_out[name] = reason
    return chosen, left_out
