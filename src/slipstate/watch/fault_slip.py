"""Whether a fault slips, or has slipped since the observation before.

An event may begin and end between two observations; its stress tells. While the spring
is loaded at V_pl, its stress tau = tau_0 + k (V_pl t - slip), so that the mean rate of
slip over an interval is

    V = V_pl - (tau_after - tau_before) / (k dt).
"""

import numpy as np
from jaxtyping import Bool, Float

FAST = 10.0
"""Rate at which a fault counts as slipping, over its loading rate."""


def slipping(
    ln_v: Float[np.ndarray, "time ens"],
    tau: Float[np.ndarray, "time ens"],
    weights: Float[np.ndarray, "time ens"],
    *,
    k: float,
    Vpl: float,
    seconds: float,
) -> Float[np.ndarray, " time"]:
    """Return the probability that a fault slips now or has since the time before.

    A filter mixes its members at an update, so that a member has no past of its own:
    each is compared with all members of the time before, as if independent of them.

    Args:
        ln_v: ln of the slip rate of each member [m/s].
        tau: Its stress [Pa].
        weights: Weights of the members, which add up to 1.
        k: Stiffness [Pa/m].
        Vpl: Loading rate [m/s].
        seconds: Time between two rows [s].
    """
    drop = (FAST - 1.0) * Vpl * k * seconds
    now = ln_v > np.log(FAST * Vpl)
    found = np.sum(weights * now, axis=1)
    for row in range(1, len(found)):
        order = np.argsort(tau[row - 1])
        sums = np.concatenate([[0.0], np.cumsum(weights[row - 1][order])])
        # weight of those before whose stress was higher by the drop, or more
        lower = np.searchsorted(tau[row - 1][order], tau[row] + drop, side="right")
        since = np.where(now[row], 1.0, 1.0 - sums[lower] / sums[-1])
        found[row] = np.sum(weights[row] * since)
    return found.clip(0.0, 1.0)


def slipped(
    ln_v: Float[np.ndarray, " time"],
    tau: Float[np.ndarray, " time"],
    *,
    k: float,
    Vpl: float,
    seconds: float,
) -> Bool[np.ndarray, " time"]:
    """Tell when a known fault slips, or has slipped since the time before.

    Args:
        ln_v: ln of its slip rate [m/s].
        tau: Its stress [Pa].
        k: Stiffness [Pa/m].
        Vpl: Loading rate [m/s].
        seconds: Time between two rows [s].
    """
    one = np.ones((len(tau), 1))
    told = slipping(ln_v[:, None], tau[:, None], one, k=k, Vpl=Vpl, seconds=seconds)
    return told > 0.5
