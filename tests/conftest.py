"""Settings of every test run: float64, strict shapes and dtypes, no deadlock."""

import os

from slipstate.ground.platform import prepare_process

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
