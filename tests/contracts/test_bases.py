"""One battery for every basis: orthonormal, closed forms, closedness, contraction."""

import inspect
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import slipstate.memory as memory
from slipstate.ground.errors import InputError
from slipstate.ground.quadrature import evaluate, jacobi_recurrence
from slipstate.memory import (
    BSpline,
    ChebyshevT,
    ChebyshevU,
    Dilation,
    Fourier,
    Frame,
    Gegenbauer,
    Haar,
    Hermite,
    Jacobi,
    Laguerre,
    Legendre,
    PiecewiseConstant,
    Shift,
)
from slipstate.memory.basis.recurrence import end_table, recur_ends, recur_ends_dot


def waves(z):
    return jnp.stack([jnp.cos(3.0 * k * z) for k in range(6)], -1)


BASES = [
    Legendre(16),
    Jacobi(16, 0.0, 1.5),
    Jacobi(12, 0.3, -0.4),
    Gegenbauer(12, 1.7),
    ChebyshevT(16),
    ChebyshevU(16),
    Laguerre(16),
    Hermite(12),
    Fourier(9),
    Fourier(8),
    Haar(8),
    PiecewiseConstant(7),
    BSpline(9),
    BSpline(8, degree=1),
    Frame(waves),
]
HALF_LINE = (Laguerre, Hermite)
# three steps, then two of which the last is the product
RATIOS = np.array([0.05, 0.7, 0.999, 0.8, 0.9, 0.72])
SHIFTS = np.array([0.01, 0.6])
AGES = np.array([0.0, 0.1, 0.4])
Z = np.array([0.2, 0.55, 0.93])
# laws do not depend on how well their programs are optimised, compile time does
QUICK: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}
name = lambda basis: f"{type(basis).__name__}{basis.modes}"


def compiled(function, *args):
    return jax.jit(function).lower(*args).compile(QUICK)(*args)


@cache
def portrait(basis):
    """Everything the laws speak of, from one compiled program for each basis."""
    half = isinstance(basis, HALF_LINE)

    def step(lag):
        old, new, weights = basis.remembered(lag)
        return {
            "closed form": (basis.matrix(lag), basis.fill(lag)),
            "quadrature": (basis.quadrature_matrix(lag), basis.quadrature_fill(lag)),
            "old": basis.at(old),
            "majorant": weights * basis.excess(new),
            "forgetting": basis.forgetting(lag),
        }

    def draw(ratios, shifts, ages, z):
        steps = [jax.vmap(lambda r: step(Dilation(jnp.log(r))))(ratios)]
        if not half:
            steps.append(jax.vmap(lambda d: step(Shift(d)))(shifts))
        lags, place = Dilation(-ages), jnp.log(z) if half else z
        return {
            "steps": steps,
            "still": step(Dilation(jnp.zeros(()))),
            "gram": basis.gram(),
            "fill": basis.fill(lags),
            "mass": basis.mass(lags),
            "measure": jnp.sum(basis.created(Dilation(-ages[-1]))[1]),
            "at": basis.at(Dilation(jnp.log(z))),
            "values": basis.values(place),
            "batched": jax.vmap(basis.values)(place),
            "slope": jax.grad(lambda x: jnp.sum(basis.values(x)))(place[1]),
        }

    arrays = (jnp.asarray(x) for x in (RATIOS, SHIFTS, AGES, Z))
    return jax.tree.map(np.asarray, compiled(draw, *arrays))


# a second member of a family whose first is always tried
SECOND = (Gegenbauer(12, 1.7), ChebyshevU(16), Fourier(8), BSpline(8, degree=1))
every_basis = pytest.mark.parametrize(
    "basis",
    [pytest.param(b, marks=pytest.mark.slow) if b in SECOND else b for b in BASES],
    ids=name,
)


def test_every_basis_of_the_library_is_in_the_battery():
    leaves = {
        cls
        for cls in vars(memory).values()
        if inspect.isclass(cls)
        and issubclass(cls, memory.AbstractBasis)
        and not cls.__name__.startswith("Abstract")
    }
    assert leaves == {type(basis) for basis in BASES}


@every_basis
def test_functions_are_orthonormal(basis):
    assert np.allclose(portrait(basis)["gram"], np.eye(basis.modes), atol=2e-11)


@every_basis
def test_closed_forms_equal_quadrature(basis):
    for steps in portrait(basis)["steps"]:
        for closed, numeric in zip(steps["closed form"], steps["quadrature"]):
            assert np.max(np.abs(closed - numeric)) < 1e-13


@every_basis
def test_nothing_is_created_by_no_move_and_mass_is_the_measure(basis):
    found = portrait(basis)
    assert np.allclose(found["fill"][0], 0.0)
    assert np.isclose(found["mass"][-1], found["measure"], atol=1e-13)
    # Bessel: the share of the indicator that N functions hold is at most its energy
    assert np.all(np.sum(found["fill"] ** 2, -1) <= found["mass"] + 1e-13)


@every_basis
def test_values_at_a_lag_are_values_at_its_coordinate(basis):
    found = portrait(basis)
    assert np.allclose(found["at"], found["values"], atol=1e-11)


@every_basis
def test_a_closed_basis_and_only_it_has_a_semigroup(basis):
    one, two, both = portrait(basis)["steps"][0]["closed form"][0][-3:]
    defect = np.max(np.abs(one @ two - both))
    assert (defect < 1e-13) == basis.closed(Dilation(jnp.asarray(-0.1)))


@every_basis
def test_ageing_never_grows_in_the_majorant_measure(basis):
    """|L g|^2 <= forgetting |g|^2 for random g, measured on the nodes."""
    found = portrait(basis)
    g = np.random.default_rng(0).standard_normal((basis.modes, 5))
    size = lambda step: np.einsum("...k,...kg->...g", step["majorant"], step["g"] ** 2)
    before = size(found["still"] | {"g": found["still"]["old"] @ g})
    for steps in found["steps"]:
        after = size(steps | {"g": steps["old"] @ g})
        bound = steps["forgetting"][:, None] * before
        assert np.all(after <= bound * (1 + 1e-9))


@every_basis
def test_bases_differentiate_and_batch(basis):
    found = portrait(basis)
    assert np.isfinite(found["slope"])
    assert np.allclose(found["batched"], found["values"])


def test_differences_from_the_ends_equal_the_plain_recurrence():
    """And hold in float32, where the plain recurrence has lost half its digits."""
    families = [(0.0, 0.0), (1.0, 1.0), (-0.5, 2.5)]
    gap = np.concatenate([np.geomspace(1e-7, 0.5, 60), 1.0 - np.geomspace(0.5, 1e-7)])
    weights = np.random.default_rng(2).standard_normal((gap.size, 3))

    def run(left, right, weights):
        tables = [end_table(64, a, b) for a, b in families]
        dots = [recur_ends_dot(table, left, right, weights) for table in tables]
        return [recur_ends(table, left, right) for table in tables], dots

    wide = tuple(jnp.asarray(x) for x in (1.0 - gap, gap, weights))
    narrow = tuple(x.astype(jnp.float32) for x in wide)
    exact, rough = (jax.tree.map(np.asarray, compiled(run, *x)) for x in (wide, narrow))
    for k, (a, b) in enumerate(families):
        truth = evaluate(jacobi_recurrence(64, a, b), 64, 1.0 - gap).T
        size = np.max(np.abs(truth), axis=0)
        assert np.max(np.abs(exact[0][k] - truth) / size) < 1e-11
        assert np.max(np.abs(rough[0][k] - truth) / size) < 2e-6
        assert np.allclose(exact[1][k], truth.T @ weights, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Legendre(0), "modes"),
        (lambda: Legendre(2.5), "modes"),  # pyright: ignore
        (lambda: Haar(12), "modes"),
        (lambda: Jacobi(4, -1.0, 0.0), "`a`"),
        (lambda: Jacobi(4, 0.0, -2.0), "`b`"),
        (lambda: Gegenbauer(4, -0.6), "alpha"),
        (lambda: BSpline(3, degree=5), "degree"),
        (lambda: Frame(waves, knots=(0.5, 0.2)), "knots"),
        (lambda: Frame(lambda z: z), "function"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_settings_name_the_argument(make, argument):
    with pytest.raises((InputError, TypeError), match=argument):
        make()


def test_a_redundant_frame_keeps_its_rank_and_says_so():
    double = Frame(lambda z: jnp.concatenate([waves(z), waves(z)], -1))
    assert double.modes == Frame(waves).modes
    assert double.condition > 1e12
    c = jnp.arange(1.0, double.modes + 1)
    z = jnp.linspace(0.0, 1.0, 7)
    direct = double.values(z) @ c
    assert np.allclose(double.function(z) @ double.to_frame(c), direct, atol=1e-8)
