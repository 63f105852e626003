"""`slipstate doctor`: is everything here that a run needs, and if not, what to do."""

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import typer

from slipstate import __version__
from slipstate.cli.process import begin, cache_folder

_NEEDED = (
    "jax",
    "jaxlib",
    "equinox",
    "diffrax",
    "optimistix",
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "h5netcdf",
    "h5py",
    "safetensors",
    "matplotlib",
)
_LEAST_DISK = 1 << 29  # [bytes] one run of many stations, twice
_GUARD = "xla_cpu_enable_concurrency_optimized_scheduler=false"


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        value: What was found.
        remedy: What to do; empty where all is well.
    """

    name: str
    value: str
    remedy: str = ""


def doctor() -> None:
    """Say which versions, devices and folders a run would use, and what to fix.

    The exit status is 0 when a run can start, 1 when something has to be fixed first.
    """
    findings = examine(Path.cwd())
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = "FIX" if finding.remedy else "ok "
        typer.echo(f"{mark}  {finding.name:<{width}}  {finding.value}")
        if finding.remedy:
            typer.echo(f"     {'':<{width}}  -> {finding.remedy}")
    wrong = sum(bool(finding.remedy) for finding in findings)
    if wrong:
        typer.echo(f"{wrong} to fix; see the lines marked FIX.")
        raise typer.Exit(1)
    typer.echo("All is well. Try: slipstate watch")


def examine(folder: Path) -> list[Finding]:
    """Look at everything a run needs.

    Args:
        folder: Where the output of a run would go.

    Returns:
        The findings, in the order they are printed.
    """
    begin()
    findings = [
        Finding("slipstate", __version__),
        _python(),
        Finding(
            "machine",
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        ),
        *(_package(name) for name in _NEEDED),
    ]
    if not any(finding.remedy for finding in findings):
        findings += _jax()
    findings += [
        _guard(),
        _writable("compile cache", _nearest(cache_folder()), str(cache_folder())),
        _writable("output folder", folder, str(folder)),
        _disk(folder),
    ]
    return findings


def _python() -> Finding:
    found = platform.python_version()
    old = sys.version_info < (3, 11)
    return Finding("python", found, "Install Python 3.11 or newer." if old else "")


def _package(name: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", "Run `pip install --upgrade slipstate`.")


def _jax() -> list[Finding]:
    """Compute something, to see what jax really does here."""
    import jax
    import jax.numpy as jnp

    kind = jnp.linspace(0.0, 1.0, 3).dtype
    double = str(kind) == "float64"
    return [
        Finding("devices", ", ".join(str(device) for device in jax.devices())),
        Finding(
            "float64",
            "on" if double else f"off, numbers are {kind}",
            "" if double else "Set the environment variable JAX_ENABLE_X64=1.",
        ),
    ]


def _guard() -> Finding:
    try:
        version = importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return Finding("deadlock guard", "unknown: no jaxlib")
    if tuple(int(part) for part in version.split(".")[:2]) >= (0, 11):
        return Finding("deadlock guard", f"not needed by jaxlib {version}")
    if _GUARD in os.environ.get("XLA_FLAGS", ""):
        return Finding("deadlock guard", f"on (jaxlib {version} needs it)")
    return Finding(
        "deadlock guard",
        f"off; jaxlib {version} can hang on few processors",
        f"Set the environment variable XLA_FLAGS=--{_GUARD}.",
    )


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the first one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _writable(name: str, folder: Path, shown: str) -> Finding:
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return Finding(name, shown)
    return Finding(
        name,
        f"{shown} cannot be written",
        f"Give yourself the right to write to {folder}.",
    )


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    short = free < _LEAST_DISK
    return Finding(
        "free disk",
        f"{free / 2**30:.1f} GiB",
        f"Free at least {_LEAST_DISK >> 20} MiB for results." if short else "",
    )
