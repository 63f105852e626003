"""The main job: follow a record, forecast, report ruptures, keep score."""

from slipstate.watch.baselines import climatology, persistence, trajectory
from slipstate.watch.scorecard import scorecard

__all__ = ["climatology", "persistence", "scorecard", "trajectory"]
