"""A program kept on disk gives what the function gives, and is never the wrong one."""

import subprocess
import sys
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from slipstate.ground import kept_programs
from slipstate.ground.kept_programs import kept_jit
from slipstate.ground.platform import PROGRAMS
from slipstate.ground.structure import describe, rebuild
from slipstate.systems import LinearGaussian

traced = []


def advance(model, x, *, times, name="x"):
    """A result with a module, a dictionary, a list and plain values around its arrays.

    Args:
        model: A model.
        x: A state.
        times: Steps.
        name: A word.

    Returns:
        Many things.
    """
    traced.append(1)
    for _ in range(times):
        x = model.transition.F @ x
    moved = eqx.tree_at(lambda m: m.transition.b, model, x)
    return moved, {"last": x, "name": name}, [x.sum(), times]


def model():
    eye = jnp.eye(2)
    H, R = jnp.ones((1, 2)), jnp.ones((1, 1))
    return LinearGaussian(jnp.ones(2), eye, 0.5 * eye, eye, H, R)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(PROGRAMS, str(tmp_path / "programs"))
    traced.clear()
    return tmp_path / "programs"


def same(one, other):
    assert eqx.tree_equal(one, other, typematch=True)


def test_a_kept_program_is_not_traced_again(folder):
    expected = advance(model(), jnp.arange(2.0), times=3)
    traced.clear()
    same(kept_jit(advance)(model(), jnp.arange(2.0), times=3), expected)
    assert len(traced) == 1
    assert {p.suffix for p in folder.glob("*/*")} == {".json", ".stablehlo"}
    # another object, as in another process: all it has is the folder
    again = kept_jit(advance)
    same(again(model(), jnp.arange(2.0), times=3), expected)
    same(again(model(), jnp.arange(2.0), times=3), expected)
    assert len(traced) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda x, kw: (x[None].T, kw),
        lambda x, kw: (x, kw | {"times": 4}),
        lambda x, kw: (x, kw | {"name": "y"}),
    ],
    ids=["shape", "static number", "static word"],
)
def test_whatever_differs_is_another_program(folder, change):
    kept = kept_jit(advance)
    kw: dict[str, Any] = {"times": 3}
    kept(model(), jnp.arange(2.0), **kw)
    x, kw = change(jnp.arange(2.0), kw)
    traced.clear()
    found = kept(model(), x, **kw)
    assert len(traced) == 1
    expected = advance(model(), x, **kw)
    for part, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        if eqx.is_array(part):
            np.testing.assert_allclose(part, wanted, rtol=1e-15)
        else:
            assert part == wanted


def test_other_sources_are_other_programs(folder, monkeypatch):
    kept_jit(advance)(model(), jnp.ones(2), times=1)
    monkeypatch.setattr(kept_programs, "_sources", lambda: [("a.py", 1, 1)])
    kept_programs._place.cache_clear()
    kept_jit(advance)(model(), jnp.ones(2), times=1)
    kept_programs._place.cache_clear()
    assert len(traced) == 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("suffix", [".json", ".stablehlo"])
@pytest.mark.parametrize("keep", [0, 7, -5])
def test_a_damaged_program_is_made_anew(folder, suffix, keep):
    expected = kept_jit(advance)(model(), jnp.ones(2), times=2)
    for path in folder.glob(f"*/*{suffix}"):
        path.write_bytes(path.read_bytes()[:keep])
    same(kept_jit(advance)(model(), jnp.ones(2), times=2), expected)
    assert len(traced) == 2


def test_a_folder_that_cannot_be_made_changes_nothing(folder, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv(PROGRAMS, str(blocked / "programs"))
    found = kept_jit(advance)(model(), jnp.ones(2), times=1)
    same(found, advance(model(), jnp.ones(2), times=1))


def test_without_a_folder_and_inside_a_trace_it_is_an_ordinary_function(monkeypatch):
    monkeypatch.delenv(PROGRAMS, raising=False)
    kept = kept_jit(lambda x: x**2)
    assert kept(jnp.array(3.0)) == 9.0
    assert jax.grad(kept)(3.0) == 6.0
    assert kept.compiled(jnp.ones(4))(jnp.full(4, 2.0)).sum() == 16.0


def test_gradients_and_batches_through_a_kept_program(folder):
    kept = kept_jit(lambda x: (x**2).sum())
    x = jnp.arange(3.0)
    assert kept(x) == 5.0
    np.testing.assert_array_equal(jax.grad(kept)(x), 2 * x)
    np.testing.assert_array_equal(jax.vmap(kept)(x[:, None]), x**2)


def test_functions_among_the_arguments_are_not_kept(folder):
    kept = kept_jit(lambda f, x: f(x))
    assert kept(lambda x: x + 1, jnp.array(1.0)) == 2.0
    assert kept(lambda x: x - 1, jnp.array(1.0)) == 0.0
    assert not list(folder.glob("*/*"))


def test_compiled_serves_many_calls(folder):
    run = kept_jit(lambda x, n: x * n).compiled(jnp.ones(2), 3)
    np.testing.assert_array_equal(run(jnp.arange(2.0), 3), [0.0, 3.0])


class Pair(NamedTuple):
    a: Array
    b: int


def test_what_is_not_ours_cannot_be_described():
    with pytest.raises(TypeError, match="cannot describe a Pair"):
        describe(Pair(jnp.ones(1), 2))
    with pytest.raises(TypeError, match="cannot describe a set"):
        describe({"a": {1, 2}})
    with pytest.raises(ValueError, match="not of this package"):
        rebuild({"named": "os:stat_result", "parts": []}, [])


def test_two_processes_share_programs(tmp_path):
    script = (
        "import sys; from slipstate.ground.platform import prepare_process\n"
        f"prepare_process(cache={str(tmp_path)!r})\n"
        "from slipstate.ground import kept_programs as k; k._sources = lambda: []\n"
        "from slipstate.assimilate.mixing import backward_probabilities as f\n"
        "import numpy as np; x = np.log(np.full((5, 2), .5))\n"
        "print(np.asarray(f(x, x, np.full((2, 2), .5))[0]).sum())\n"
    )
    for _ in range(2):
        out = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert float(out.stdout) == 5.0
    assert len(list(tmp_path.glob("programs/*/*.stablehlo"))) == 1
