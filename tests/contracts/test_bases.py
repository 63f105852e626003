"""One battery for every basis: orthonormal, closed forms, closedness, contraction."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import slipstate.memory as memory
from slipstate.ground.errors import InputError
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
name = lambda basis: f"{type(basis).__name__}{basis.modes}"


def lags(basis):
    moves = [Dilation(jnp.log(jnp.asarray(r))) for r in (0.05, 0.7, 0.999)]
    if not isinstance(basis, HALF_LINE):
        moves += [Shift(jnp.asarray(d)) for d in (0.01, 0.6)]
    return moves


def test_every_basis_of_the_library_is_in_the_battery():
    leaves = {
        cls
        for cls in vars(memory).values()
        if inspect.isclass(cls)
        and issubclass(cls, memory.AbstractBasis)
        and not cls.__name__.startswith("Abstract")
    }
    assert leaves == {type(basis) for basis in BASES}


@pytest.mark.parametrize("basis", BASES, ids=name)
def test_functions_are_orthonormal(basis):
    assert np.allclose(eqx.filter_jit(basis.gram)(), np.eye(basis.modes), atol=2e-11)


@pytest.mark.parametrize("basis", BASES, ids=name)
def test_closed_forms_equal_quadrature(basis):
    @eqx.filter_jit
    def both(lag):
        return (
            (basis.matrix(lag), basis.quadrature_matrix(lag)),
            (basis.fill(lag), basis.quadrature_fill(lag)),
        )

    for lag in lags(basis):
        for closed, numeric in both(lag):
            assert float(jnp.max(jnp.abs(closed - numeric))) < 1e-13


@pytest.mark.parametrize("basis", BASES, ids=name)
def test_nothing_is_created_by_no_move_and_mass_is_the_measure(basis):
    lag = Dilation(-jnp.asarray([0.0, 0.1, 0.4]))
    _, weights = basis.created(Dilation(jnp.asarray(-0.4)))
    assert np.allclose(basis.fill(lag)[0], 0.0)
    assert np.isclose(basis.mass(lag)[2], jnp.sum(weights), atol=1e-13)
    # Bessel: the share of the indicator that N functions hold is at most its energy
    assert np.all(jnp.sum(basis.fill(lag) ** 2, -1) <= basis.mass(lag) + 1e-13)


@pytest.mark.parametrize("basis", BASES, ids=name)
def test_values_at_a_lag_are_values_at_its_coordinate(basis):
    log_r = jnp.log(jnp.asarray([0.2, 0.55, 0.93]))
    z = log_r if isinstance(basis, HALF_LINE) else jnp.exp(log_r)
    assert np.allclose(basis.at(Dilation(log_r)), basis.values(z), atol=1e-11)


@pytest.mark.parametrize("basis", BASES, ids=name)
def test_a_closed_basis_and_only_it_has_a_semigroup(basis):
    matrix = eqx.filter_jit(basis.matrix)
    one, two = (Dilation(jnp.log(jnp.asarray(r))) for r in (0.8, 0.9))
    both = Dilation(one.log_ratio + two.log_ratio)
    defect = jnp.max(jnp.abs(matrix(one) @ matrix(two) - matrix(both)))
    assert (float(defect) < 1e-13) == basis.closed(one)


@pytest.mark.parametrize("basis", BASES, ids=name)
def test_ageing_never_grows_in_the_majorant_measure(basis):
    """|L g|^2 <= forgetting |g|^2 for random g, measured on the nodes."""
    g = np.random.default_rng(0).standard_normal((basis.modes, 5))
    _, still, whole = basis.remembered(Dilation(jnp.asarray(0.0)))
    before = (whole * basis.excess(still)) @ (basis.at(still) @ g) ** 2
    for lag in lags(basis):
        old, new, weights = basis.remembered(lag)
        after = (weights * basis.excess(new)) @ (basis.at(old) @ g) ** 2
        assert np.all(after <= basis.forgetting(lag) * before * (1 + 1e-9))


@pytest.mark.parametrize("basis", BASES, ids=name)
def test_bases_differentiate_and_batch(basis):
    slope = jax.grad(lambda z: jnp.sum(basis.values(z)))(jnp.asarray(-0.3 + 0.6))
    assert np.isfinite(slope)
    z = jnp.linspace(0.1, 0.9, 4)
    z = -z if isinstance(basis, HALF_LINE) else z
    batched = jax.vmap(basis.values)(z)
    assert np.allclose(batched, basis.values(z))


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
