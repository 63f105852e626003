"""The doctor: healthy here, and each illness it knows is found and treated."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp

from slipstate.cli import doctor
from slipstate.cli.process import begin, cache_folder


def run(folder, **environment):
    return subprocess.run(
        [sys.executable, "-m", "slipstate", "doctor"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )


def test_a_healthy_machine(tmp_path):
    cache = tmp_path / "cache"
    done = run(tmp_path, XDG_CACHE_HOME=str(cache), XLA_FLAGS="")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("python", "jaxlib", "devices", "float64", "free disk", "guard"):
        assert words in done.stdout
    assert "FIX" not in done.stdout
    assert done.stderr == ""


def test_a_guard_that_is_switched_off_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda _: "0.10.2")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_concurrency_optimized_scheduler")
    finding = doctor._guard()
    assert "can hang" in finding.value
    assert "XLA_FLAGS" in finding.remedy
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda _: "0.12.0")
    assert doctor._guard().remedy == ""


def test_a_full_disk_is_found(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=1))
    assert "512 MiB" in doctor._disk(tmp_path).remedy


def test_a_locked_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    finding = doctor._writable("cache", tmp_path, "somewhere")
    assert str(tmp_path) in finding.remedy


def test_a_missing_package_is_found():
    finding = doctor._package("no-such-package-of-slipstate")
    assert finding.value == "missing"
    assert "pip install" in finding.remedy


def test_something_to_fix_ends_with_1(tmp_path):
    (tmp_path / "file").touch()
    # a cache below a file can never be made
    done = run(tmp_path, XDG_CACHE_HOME=str(tmp_path / "file" / "cache"))
    assert done.returncode == 1
    assert "FIX  compile cache" in done.stdout
    assert "1 to fix" in done.stdout


def test_the_cache_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform.startswith("linux"):
        assert cache_folder() == Path(tmp_path) / "slipstate" / "compiled"
    assert "slipstate" in str(cache_folder())


def test_a_verb_inside_a_running_program_goes_on():
    assert jnp.ones(2).sum() == 2  # jax runs, so the settings come too late
    begin()


SCRIPT = """
from slipstate.cli.process import begin, cache_folder
begin()
import jax, jax.numpy as jnp

def step(x, _):
    for _ in range(40):  # long enough to compile to be worth keeping
        x = jnp.tanh(x @ x) + jnp.linalg.cholesky(x @ x.T + jnp.eye(5))
    return x, x[0]

run = jax.jit(lambda x: jax.lax.scan(step, x, None, 3)[0])
run(jnp.ones((5, 5))).block_until_ready()
print(len(list(cache_folder().glob("*"))))
"""


def test_compiled_programs_are_kept_for_the_next_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        check=True,
    )
    assert int(done.stdout.split()[-1]) > 0
