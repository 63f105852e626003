"""LagMemory against direct projection, classical matrices and its own other roads."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss, legval
from scipy.linalg import expm

from slipstate.memory import (
    BSpline,
    CellHold,
    ChebyshevT,
    ChebyshevU,
    ExponentialClock,
    Fourier,
    GatedClock,
    Haar,
    Hermite,
    Jacobi,
    LagMemory,
    Laguerre,
    Legendre,
    LinearHold,
    LogClock,
    MeanCorrectedBoundary,
    MonotoneClock,
    PiecewiseConstant,
    PowerClock,
    ProjectedBoundary,
    RateWarp,
    ScaleClock,
    WindowClock,
    hippo,
    to_lti,
)

RNG = np.random.default_rng(7)
NODES, WEIGHTS = leggauss(24)
NODES, WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2


def lorenz(length, dt):
    """RK4 with step dt from (1, 1, 1), initial state included."""

    def f(s):
        x, y, z = s
        return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    out = [np.ones(3)]
    for _ in range(length - 1):
        s = out[-1]
        k1 = f(s)
        k2 = f(s + dt / 2 * k1)
        k3 = f(s + dt / 2 * k2)
        out.append(s + dt / 6 * (k1 + 2 * k2 + 2 * k3 + f(s + dt * k3)))
    return np.array(out)


def legendre(modes, z):
    n = np.arange(modes)
    return np.sqrt(2 * n + 1) * legval(2 * z - 1, np.eye(modes)).transpose(
        *range(1, np.ndim(z) + 1), 0
    )


def project(modes, warp, edges, held):
    """Project a held signal of warped time by Gauss rules in W: the slow, obvious way.

    `warp` are W at the edges and `held(k, s)` the signal at the fraction s of W in
    cell k, shape (node, channel).
    """
    c = 0.0
    z = np.asarray(warp) / warp[-1]
    for k in range(len(edges) - 1):
        nodes = z[k] + (z[k + 1] - z[k]) * NODES
        weights = WEIGHTS * (z[k + 1] - z[k])
        c = c + (legendre(modes, nodes) * weights[:, None]).T @ held(k, NODES)
    return c


@pytest.mark.parametrize("modes", [8, 32, 64])
@pytest.mark.parametrize("k", [1, 10, 1000, 10**6])
def test_scale_clock_is_the_power_of_legs(modes, k):
    step = LagMemory(Legendre(modes), ScaleClock()).transition(k, k + 1)
    a, b = hippo.legs(modes)
    matrix = expm(a * np.log1p(1 / k))
    # SciPy's expm itself is good to about 2e-14 here (120 digits: see reference)
    assert np.linalg.norm(step.A - matrix) < 1e-13 * np.linalg.norm(matrix)
    gain = np.linalg.solve(a, (matrix - np.eye(modes)) @ b)
    assert np.allclose(step.B, gain, rtol=1e-9, atol=1e-12)


def test_first_step_forgets_everything_and_small_matrices_are_known():
    memory = LagMemory(Legendre(4), ScaleClock())
    first = memory.transition(0.0, 1.0)
    assert np.all(first.A == 0)
    assert np.array_equal(first.B, [1.0, 0.0, 0.0, 0.0])
    half = memory.transition(1.0, 2.0)
    rows = [
        [0.5, 0, 0, 0],
        [-0.4330127019, 0.25, 0, 0],
        [0, -0.4841229183, 0.125, 0],
        [0.1653594569, 0.2864109810, -0.3697549864, 0.0625],
    ]
    assert np.allclose(half.A, rows, atol=1e-10)
    assert np.allclose(half.B, [0.5, 0.4330127019, 0.0, -0.1653594569], atol=1e-10)


def test_lorenz_equals_direct_projection_and_the_known_error():
    u = lorenz(1000, 0.01)
    memory = LagMemory(Legendre(64), ScaleClock())
    states = memory.scan(u)
    edges = np.arange(1001.0)
    direct = project(64, edges, edges, lambda k, s: np.tile(u[k], (len(s), 1)))
    assert np.max(np.abs(states.last.coefficients - direct)) < 1e-11
    rec = memory.reconstruct(states.last, np.arange(1000) + 0.5)
    error = np.linalg.norm(rec - u, axis=0) / np.linalg.norm(u, axis=0)
    assert np.isclose(error[0], 0.0135108, atol=5e-8)


def test_public_hippo_hold_is_one_zero_sample_prepended():
    u = lorenz(300, 0.01)
    public = hippo.run_scaled(32, u, hippo.zero_order_hold, first=1.0)
    padded = np.concatenate([np.zeros((1, 3)), u])
    mine = LagMemory(Legendre(32), ScaleClock()).scan(padded).last.coefficients
    assert np.max(np.abs(public - mine)) < 1e-12 * np.max(np.abs(mine))
    right = hippo.run_scaled(32, u, hippo.zero_order_hold, first=0.0)
    mine = LagMemory(Legendre(32), ScaleClock()).scan(u).last.coefficients
    assert np.max(np.abs(right - mine)) < 1e-12 * np.max(np.abs(mine))


def test_lti_families_equal_their_classics():
    a, b = hippo.legs(64)
    step = to_lti(LagMemory(Legendre(64), ExponentialClock(7.0)), 0.3)
    matrix = expm(a * 0.3 / 7)
    assert np.max(np.abs(step.A - matrix)) < 1e-12
    gain = np.linalg.solve(a, (matrix - np.eye(64)) @ b)
    assert np.max(np.abs(step.B - gain)) < 1e-12
    a, b = hippo.lagt(40)
    step = to_lti(LagMemory(Laguerre(40), ExponentialClock(2.0)), 0.7)
    assert np.max(np.abs(step.A - expm(a * 0.35))) < 1e-13


@pytest.mark.parametrize("modes", [8, 64])
def test_sliding_generator_is_legt_and_the_lmu(modes):
    memory = LagMemory(Legendre(modes), WindowClock(1.0))
    zero = jnp.asarray(0.0)
    slope = jax.jit(jax.jacfwd(lambda t: memory.geometry.transition(zero, t)))(zero)
    a, b = hippo.legt(modes)
    assert np.linalg.norm(slope.A - a) < 1e-12 * np.linalg.norm(a)
    assert np.allclose(slope.B, b, rtol=1e-12)
    unit = (-1.0) ** np.arange(modes) / np.sqrt(2 * np.arange(modes) + 1)
    published, gain = hippo.lmu(modes)
    assert np.allclose(a * np.outer(1 / unit, unit), published, rtol=1e-12)
    assert np.allclose(b / unit, gain, rtol=1e-12)


def test_fourier_generators_are_the_small_step_limits():
    pairs = ((ProjectedBoundary(), False), (MeanCorrectedBoundary(), True))
    for boundary, corrected in pairs:
        memory = LagMemory(Fourier(9), WindowClock(1.0), CellHold(), boundary)
        step = memory.transition(0.0, 1e-7)
        a, b = hippo.fout(9, corrected=corrected)
        assert np.allclose((step.A - np.eye(9)) / 1e-7, a, atol=2e-4)
        assert np.allclose(step.B / 1e-7, b, atol=2e-4)


@pytest.mark.parametrize("hold", [CellHold(), LinearHold()])
def test_irregular_times_over_six_orders_of_magnitude(hold):
    gaps = 10.0 ** RNG.uniform(-3, 3, 120)
    t = np.concatenate([[0.0], np.cumsum(gaps)])
    u = RNG.standard_normal((121, 2))
    memory = LagMemory(Legendre(32), ScaleClock(), hold)
    if hold.inputs == 1:
        c = memory.scan(u[:-1], t).last.coefficients
        held = lambda k, s: np.tile(u[k], (len(s), 1))
    else:
        c = memory.scan(u, t).last.coefficients
        held = lambda k, s: u[k] + s[:, None] * (u[k + 1] - u[k])
    assert np.max(np.abs(c - project(32, t, t, held))) < 1e-12


def test_gated_clock_with_skips_and_a_spike():
    gain = np.abs(1 + 0.9 * np.sin(1.7 * np.arange(200)))
    gain[50:80] = 0.0
    gain[120] = 1e4
    u = RNG.standard_normal((200, 2))
    c = LagMemory(Legendre(32), GatedClock(gain)).scan(u).last.coefficients
    warp = np.concatenate([[0.0], np.cumsum(gain)])
    direct = project(32, warp, np.arange(201.0), lambda k, s: np.tile(u[k], (24, 1)))
    assert np.max(np.abs(c - direct)) < 1e-12


def test_gate_zero_resets_and_gate_one_skips():
    ratios = np.full(12, 0.8)
    ratios[5], ratios[9] = 0.0, 1.0
    memory = LagMemory(Legendre(8), GatedClock(ratios=ratios))
    reset, skip = memory.transition(5.0, 6.0), memory.transition(9.0, 10.0)
    assert np.array_equal(reset.A, np.zeros((8, 8)))
    assert np.allclose(reset.B, np.eye(8)[0], atol=1e-15)
    assert np.array_equal(skip.A, np.eye(8))
    assert np.array_equal(skip.B, np.zeros(8))
    # over the reset nothing older is seen, and over the skip nothing is lost
    assert np.array_equal(memory.transition(2.0, 7.0).A, np.zeros((8, 8)))
    assert np.allclose(
        memory.transition(8.5, 10.0).A, memory.transition(8.5, 9.0).A, atol=1e-15
    )


CLOSED = [
    (Legendre(12), ScaleClock()),
    (Laguerre(12), ExponentialClock(9.0)),
    (Legendre(12), ExponentialClock(9.0)),
    (Legendre(12), PowerClock(2.0)),
    (Legendre(12), LogClock(5.0)),
    (Legendre(12), GatedClock(1 + 0.9 * np.sin(np.arange(60)))),
    (Legendre(12), MonotoneClock(RateWarp([0.0, 30.0, 60.0], [0.0, 2.0, -1.0]))),
    (Jacobi(12, 0.0, 1.5), ScaleClock()),
    (Laguerre(12), ScaleClock()),
]
OPEN = [
    (Legendre(12), WindowClock(30.0)),
    (Fourier(9), WindowClock(30.0)),
    (ChebyshevT(12), WindowClock(30.0)),
    (ChebyshevT(12), ScaleClock()),
    (ChebyshevU(12), ScaleClock()),
    (Jacobi(12, 1.0, 0.5), ScaleClock()),
    (Hermite(12), ExponentialClock(20.0)),
    (Haar(16), ScaleClock()),
    (PiecewiseConstant(12), ScaleClock()),
    (BSpline(12), ScaleClock()),
]
pair = lambda value: type(value).__name__


def some_slow(pairs, fast):
    """Mark all pairs but the first few as slow: each compiles its own programs."""
    slow = [pytest.param(*p, marks=pytest.mark.slow) for p in pairs[fast:]]
    return [*pairs[:fast], *slow]


# every closed family with a cell hold; the hold meets each kind of basis and of clock
HELD = [(*p, CellHold()) for p in CLOSED]
HELD += [(*CLOSED[k], LinearHold()) for k in (0, 5, 6, 7, 8)]


@pytest.mark.parametrize(("basis", "clock", "hold"), some_slow(HELD, 2), ids=pair)
def test_certificate_is_exact_for_closed_memories(basis, clock, hold):
    memory = LagMemory(basis, clock, hold)
    assert memory.closed
    u = RNG.standard_normal((60 + hold.inputs - 1, 2))
    edges = np.arange(61.0)
    last = memory.scan(u, edges).last
    truth = _refined_error(memory, last, edges, u)
    size = np.sqrt(np.max(np.asarray(last.energy)))
    assert np.max(np.abs(memory.error(last) - truth)) < 1e-10 * size


def _refined_error(memory, state, edges, u):
    """Root mean square error by quadrature, with panels that shrink to the origin."""
    if np.isfinite(memory.clock.origin()):
        first = np.concatenate([[0.0], np.geomspace(1e-160, 1.0, 400)])
    else:  # the past before the first sample counts too: there the signal is zero
        first = np.concatenate([np.linspace(-3600.0, 0.0, 1200), [1.0]])
    ticks = np.concatenate([first, edges[2:]])
    lengths = np.diff(ticks)[:, None]
    times = jnp.asarray((ticks[:-1, None] + lengths * NODES).ravel())
    density, gap = _density_and_gap(memory, state, times, edges, u)
    return np.sqrt(((lengths * WEIGHTS).ravel() * density) @ gap**2)


@eqx.filter_jit
def _density_and_gap(memory, state, times, edges, u):
    # for a closed pair, what is older than a lag has the measure `forgetting`
    older = lambda t: memory.basis.forgetting(memory.clock.lag(t, state.time))
    return jax.vmap(jax.grad(older))(times), _gap(memory, state, times, edges, u)


def _gap(memory, state, times, edges, u):
    held = memory.hold.held(jnp.asarray(u), jnp.asarray(edges), times)
    values = memory.basis.at(memory.clock.lag(times, state.time))
    return held - values @ state.coefficients


@pytest.mark.parametrize(("basis", "clock"), some_slow(OPEN, 2), ids=pair)
def test_bound_is_never_below_the_truth_for_the_others(basis, clock):
    memory = LagMemory(basis, clock)
    assert not memory.closed
    edges = np.arange(61.0)
    for u in (RNG.standard_normal((60, 2)), np.sin(0.2 * edges[:60, None] + [0, 1])):
        last = memory.scan(u, edges).last
        buffered = _project_any(memory, last, edges, u)
        bound = np.asarray(memory.error(last))
        assert np.all(np.isfinite(bound))
        assert np.all(bound >= buffered)


def _project_any(memory, state, edges, u):
    """Root mean square error of the state in its own measure, by bins of the measure.

    Fine cells are cut in 400 pieces; the measure of each is exact, so a singular
    weight needs no care. The error is a lower sum up to about one per cent.
    """
    ticks = np.linspace(0.0, edges[-1], 400 * (len(edges) - 1) + 1)
    middle = jnp.asarray(0.5 * (ticks[1:] + ticks[:-1]))
    mass, gap = _mass_and_gap(memory, state, jnp.asarray(ticks), middle, edges, u)
    return 0.98 * np.sqrt(-np.diff(mass) @ gap**2)


@eqx.filter_jit
def _mass_and_gap(memory, state, ticks, middle, edges, u):
    mass = memory.basis.mass(memory.clock.lag(ticks, state.time))
    return mass, _gap(memory, state, middle, edges, u)
