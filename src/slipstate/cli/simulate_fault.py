"""`slipstate simulate fault`: a record of a fault to watch, with its truth inside."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

HELP = """
Simulate a slow-slip fault and observe it: ln V and stress, each with noise.

The fault slips by 6 cm every 2.7 years. The record, netCDF, holds what was observed, \
the truth, and the numbers of the fault, so that `slipstate watch` can follow it.

Examples:
  slipstate simulate fault --out fault.nc

  slipstate simulate fault --years 6 --every 5 --see stress --out stress.nc
"""


class Seen(StrEnum):
    """What is observed."""

    both = "both"
    rate = "rate"
    stress = "stress"


def simulate_fault(
    out: Annotated[Path, typer.Option(help="The netCDF file to write.")] = Path(
        "fault.nc"
    ),
    years: Annotated[float, typer.Option(help="Length of the record, in years.")] = 15,
    every: Annotated[float, typer.Option(help="Days between observations.")] = 10,
    see: Annotated[
        Seen, typer.Option(help="What is observed: slip rate, stress, or both.")
    ] = Seen.both,
    seed: Annotated[int, typer.Option(help="Seed of phase and noise.")] = 1,
) -> None:
    """Simulate a slow-slip fault and write what is seen of it.

    Args:
        out: The file to write, whole or not at all.
        years: Length of the record [years].
        every: Days between observations.
        see: What is observed.
        seed: Seed of phase and noise.

    Raises:
        InputError: The record would be too short.
        OutputError: The file cannot be written.
    """
    from slipstate.cli.process import begin

    begin()
    from slipstate.earth import build_twin
    from slipstate.ground.files import replace_file
    from slipstate.records import netcdf_bytes

    record = build_twin(years=years, every=every, seed=seed).record
    names = {Seen.rate: ["ln V"], Seen.stress: ["tau"], Seen.both: ["ln V", "tau"]}
    record = record.sel(component=names[see])
    if see is not Seen.both:
        unit = str(record["component_units"].item())
        for name in ("value", "sigma"):
            record[name].attrs["units"] = unit
    replace_file(out, netcdf_bytes(record))
    typer.echo(
        f"{out}: {record.sizes['time']} times over {years:g} years, "
        f"{' and '.join(names[see])}"
    )
