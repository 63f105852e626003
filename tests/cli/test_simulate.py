"""What `slipstate simulate` writes, and how it refuses."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from slipstate.cli.simulate import Law, simulate_slider
from slipstate.ground.errors import InputError, OutputError
from slipstate.records import read_record

RECURRENCE = {
    Law.ageing: 1.385322011e9,
    Law.slip: 1.193119911e9,
    Law.cutoff: 8.532193559e7,
    Law.viscous: 8.269995720e7,
}


@pytest.mark.parametrize("law", RECURRENCE)
def test_each_law_writes_its_cycles(law, tmp_path, capsys):
    out = tmp_path / "run.nc"
    simulate_slider(law=law, cycles=2, out=out)
    printed = capsys.readouterr().out
    assert f"recurrence    {RECURRENCE[law]:.8g} s" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["run.nc"]
    with xr.open_dataset(out, engine="h5netcdf", decode_times=False) as run:
        assert run.attrs["recurrence_s"] == pytest.approx(RECURRENCE[law], rel=1e-8)
        assert float(np.exp(run.ln_speed).max()) == pytest.approx(
            run.attrs["peak_rate_m_s"], rel=0.02
        )
        fall = float(run.stress.max() - run.stress.min())
        assert fall == pytest.approx(run.attrs["stress_drop_Pa"], rel=1e-3)
        assert 0 < run.time.values[-1] < 2 * RECURRENCE[law]
        assert (np.diff(run.time.values) > 0).all()
        assert all(run[name].attrs["units"] for name in run.variables)
    assert "ln_speed" in read_record(out).component.values


def test_a_parameter_can_be_changed(tmp_path, capsys):
    simulate_slider(law=Law.ageing, k=10e6, cycles=1, out=tmp_path / "run.nc")
    assert "0.4 of the critical one" in capsys.readouterr().out


def test_a_stiff_spring_is_refused_and_writes_nothing(tmp_path):
    with pytest.raises(InputError, match=r"`--k` must lie below .* 2.5e\+07"):
        simulate_slider(k=3e7, out=tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OutputError, match="Create the folder first"):
        simulate_slider(out=tmp_path / "nowhere" / "run.nc")


def test_the_command_fails_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "slipstate", "simulate", "slider", "--k", "-1"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: `k` must be positive")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
