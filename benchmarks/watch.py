"""How long the main job takes: one JSON line per result.

Whole processes are timed, as a user sees them, first with an empty compile cache and
then again with a warm one:

    python benchmarks/watch.py ALBH.pbo.nam08.csv            # one station
    python benchmarks/watch.py *.csv                         # a network
    python benchmarks/watch.py                               # the embedded fault

The peer of one station is the trajectory fit everybody knows: statsmodels' unobserved
components model (local linear trend, annual harmonics) fitted by maximum likelihood on
the same part of the same series, in its own process.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PEER = """
import sys, numpy as np
from statsmodels.tsa.statespace.structural import UnobservedComponents
from slipstate.records import read_record
record = read_record(sys.argv[1])
y = record["value"].values
t = record["time"].values
day = ((t - t[0]) / np.timedelta64(1, "D")).astype(int)
for c in range(y.shape[1]):
    series = np.full(day[-1] + 1, np.nan)
    series[day] = y[:, c]
    series = series[: len(series) // 2]
    model = UnobservedComponents(
        series, level="local linear trend",
        freq_seasonal=[{"period": 365.25, "harmonics": 2}],
    )
    model.smooth(model.fit(disp=False, maxiter=50).params)
"""


def timed(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a command and return its wall time, CPU time and peak memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "peak_mb": round(after.ru_maxrss / 1024),
    }


def main() -> None:
    """Time the watch, cold and warm, and its peer where there is one station."""
    files = sys.argv[1:]
    what = "twin" if not files else f"{len(files)} station{'s' * (len(files) > 1)}"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_CACHE_HOME": str(Path(folder) / "cache")}
        out = str(Path(folder) / "run")
        watch = [sys.executable, "-m", "slipstate", "watch", *files, "--out", out]
        for cache in ("cold", "warm"):
            line = {"benchmark": "watch", "what": what, "cache": cache}
            print(json.dumps(line | timed(watch, environment)), flush=True)
        if len(files) == 1:
            peer = [sys.executable, "-c", _PEER, files[0]]
            line = {"benchmark": "watch", "what": what, "peer": "statsmodels fit"}
            print(json.dumps(line | timed(peer, environment)), flush=True)
        doctor = [sys.executable, "-m", "slipstate", "--help"]
        line = {"benchmark": "help", "what": "slipstate --help"}
        print(json.dumps(line | timed(doctor, environment)), flush=True)


if __name__ == "__main__":
    main()
