"""The verdict as a headline, and whom it was won against."""

import numpy as np
import xarray as xr

from slipstate.watch.verdict import other_filters, standing


def verdict_state(run: xr.Dataset) -> tuple[str, str]:
    """Return a class and a headline for the verdict, from the scores themselves."""
    crps = run["score"].sel({"metric": "crps"})
    ours = crps.sel({"method": "slipstate"})
    others = other_filters(run)
    rest = crps.drop_sel(method=["slipstate", *others])
    if not bool(np.isfinite(ours).any()):
        return "unscored", "Not scored"
    if bool((rest <= ours).any()):
        return "lost", "Does not beat every baseline"
    horizons = run["horizon"].values.astype(float)
    if any(standing(run, name, h) < 0 for name in others for h in horizons):
        return "mixed", "Beats every baseline, but not every other filter"
    return "won", "Beats every baseline"


def describe_filters(run: xr.Dataset) -> str:
    """Say which filters follow the same data; empty where there is one."""
    others = other_filters(run)
    if not others:
        return ""
    ours = run.attrs.get("engine", "the filter of this run")
    sizes = run.attrs.get("compared_with", ", ".join(others))
    named = ours if ours.startswith("the ") else f"{_article(ours)} {ours}"
    return (
        f"Here slipstate is {named}. Other filters follow the same data with the same "
        f"fault (members): {sizes}."
    )


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" else "a"
