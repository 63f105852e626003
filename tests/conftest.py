"""Settings of every test run: float64, strict shapes and dtypes, no deadlock."""

import itertools
import os
from pathlib import Path

from slipstate.ground.platform import prepare_process

# Most of the suite is compiling programs that run once: quick code for slow programs.
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_backend_optimization_level=0"]
).strip()
prepare_process(x64=True)

import jax
import pytest

# Two processes of two threads each on two cores only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def key():
    return jax.random.key(20_100_405)


# Every compiled program holds some memory maps, of which Linux grants a process 65,530;
# past them the compiler ends the process. Looking is not free, so now and then.
_MOST_MAPS, _LOOK_EVERY = 30_000, 8
_tests = itertools.count(1)


@pytest.hookimpl(trylast=True)  # after what a test replaced is in its place again
def pytest_runtest_teardown(item, nextitem):
    """Let compiled programs go before there are too many of them."""
    if next(_tests) % _LOOK_EVERY:
        return
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()
