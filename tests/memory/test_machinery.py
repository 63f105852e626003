"""Roads that must agree, precision, gradients, uncertainty, bad input."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.errors import InputError, MethodError
from slipstate.memory import (
    BinAverageHold,
    BufferedBoundary,
    CellHold,
    ChannelMemory,
    ChebyshevT,
    ExponentialClock,
    Fourier,
    Jacobi,
    LagMemory,
    Laguerre,
    Legendre,
    LinearHold,
    MeanCorrectedBoundary,
    MidpointHold,
    PowerClock,
    ScaleClock,
    WindowClock,
    hippo,
    to_diagonal,
    to_lti,
    to_nplr,
)
from slipstate.memory.basis.dilation import (
    apply_dilation,
    dilation_matrix,
    taylor_terms,
)

RNG = np.random.default_rng(11)

ROADS = [
    LagMemory(Legendre(12), ScaleClock()),
    LagMemory(Legendre(12), ScaleClock(), LinearHold()),
    LagMemory(Legendre(12), ExponentialClock(20.0)),
    LagMemory(Legendre(12), PowerClock(0.5), LinearHold()),
    LagMemory(Laguerre(12), ExponentialClock(20.0)),
    LagMemory(Legendre(12), WindowClock(25.0)),
    LagMemory(Fourier(9), WindowClock(25.0), CellHold(), MeanCorrectedBoundary()),
    LagMemory(Fourier(9), WindowClock(25.0), CellHold(), BufferedBoundary(26)),
    LagMemory(ChebyshevT(8), ScaleClock()),
]
label = lambda m: f"{type(m.basis).__name__}-{type(m.clock).__name__}-{m.hold.inputs}"


@pytest.mark.parametrize(
    "memory",
    [ROADS[0], *(pytest.param(m, marks=pytest.mark.slow) for m in ROADS[1:])],
    ids=label,
)
def test_scan_equals_steps_and_split_and_carry_equals_whole(memory):
    u = RNG.standard_normal((41, 2))
    t = np.arange(42.0) if memory.hold.inputs == 1 else np.arange(41.0)
    states = memory.scan(u, t)
    state = memory.init(2, time=0.0)
    stepped = []
    for k in range(41):
        state = memory.step(state, u[k], t[k + 1] if memory.hold.inputs == 1 else t[k])
        stepped.append(state.coefficients)
    if memory.hold.inputs == 2:
        stepped = stepped[1:]
    assert np.allclose(states.coefficients, np.array(stepped), atol=1e-12)
    assert np.allclose(states.last.coefficients, stepped[-1], atol=1e-12)
    assert np.allclose(states.last.energy, state.energy, rtol=1e-12)
    assert np.allclose(memory.error(states.last), memory.error(state), rtol=1e-6)
    if memory.boundary.stored == 0:
        assert np.allclose(states.at(-3).coefficients, stepped[-3], atol=1e-12)
    cut = 17
    head = memory.scan(u[:cut], t[: cut + 1 if memory.hold.inputs == 1 else cut])
    rest = slice(cut, None) if memory.hold.inputs == 1 else slice(cut - 1, None)
    tail = memory.scan(u[rest], t[rest], state=head.last)
    assert np.allclose(tail.last.coefficients, states.last.coefficients, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [ROADS[0], ROADS[1], ROADS[4]], ids=label)
def test_states_at_any_time_equal_a_sequence_that_ends_there(memory):
    u = RNG.standard_normal((30, 2))
    found = memory.states_at([7.25, 12.0], u)
    for c, stop in zip(found, (7.25, 12.0)):
        k = int(np.ceil(stop))
        if memory.hold.inputs == 1:
            t = np.append(np.arange(float(k)), stop)
            short = memory.scan(u[:k], t)
        else:
            end = u[k - 1] + (stop - k + 1) * (u[k] - u[k - 1])
            t = np.append(np.arange(float(k)), stop)
            short = memory.scan(np.concatenate([u[:k], end[None]]), t)
        assert np.allclose(c, short.last.coefficients, atol=1e-11)


@pytest.mark.slow
def test_long_chunks_equal_dense_steps():
    """Several chunks, an odd length, a stepped head: against a plain NumPy loop."""
    u = RNG.standard_normal((2500, 1))
    memory = LagMemory(Legendre(16), ScaleClock())
    plain = hippo.run_scaled(16, u, hippo.zero_order_hold, first=0.0)
    assert np.allclose(memory.scan(u).last.coefficients, plain, atol=1e-11)
    linear = LagMemory(Legendre(16), ScaleClock(), LinearHold())
    states = linear.scan(u)
    assert states.plan.stepped > 0
    assert len(states) == 2499
    last = states.coefficients[-1]
    assert np.allclose(states.last.coefficients, last, atol=1e-12)


def test_masked_samples_age_the_past_and_teach_nothing():
    u = RNG.standard_normal((20, 2))
    mask = np.ones((20, 2), bool)
    mask[5:9, 0] = False
    memory = ROADS[0]
    gone = np.where(mask, u, np.nan)
    states = memory.scan(gone, mask=mask).coefficients
    aged = memory.transition(5.0, 6.0).A @ states[4, :, 0]
    assert np.allclose(states[5, :, 0], aged, atol=1e-13)
    assert np.allclose(states, memory.scan(np.where(mask, u, 0.0)).coefficients)


def test_holds_mean_what_they_say():
    """Where the edges lie, and what the signal is between them."""
    t = jnp.asarray([0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    edges = np.arange(7.0)
    assert np.allclose(MidpointHold().cells(6, t), edges)
    assert np.allclose(MidpointHold().cells(6, None), edges)
    assert np.allclose(BinAverageHold().cells(6, None), CellHold().cells(6, None))
    assert np.array_equal(LinearHold().cells(6, t), t)
    u = jnp.asarray([[1.0], [3.0], [2.0], [0.0], [1.0], [5.0]])
    when = jnp.asarray([-0.1, 0.5, 1.75, 6.1])
    for hold in (CellHold(), BinAverageHold(), MidpointHold()):
        held = hold.held(u, jnp.asarray(edges), when)[:, 0]
        assert np.allclose(held, [0.0, 1.0, 3.0, 0.0])
    line = LinearHold().held(u, t, when)[:, 0]
    assert np.allclose(line, [0.0, 1.0, 3.0 - 0.25, 0.0])


def test_boundaries_of_a_fourier_window_in_order_of_truth():
    """Projection loses most at the edge, the correction less, the buffer nothing."""
    time = np.arange(600)
    u = np.stack([np.sin(time / 31.0), np.cos(time / 47.0 + 1)], 1)
    build = lambda *rest: LagMemory(Fourier(21), WindowClock(100.0), CellHold(), *rest)
    exact = build(BufferedBoundary(100)).scan(u).last.coefficients
    plain = build().scan(u).last.coefficients
    mean = build(MeanCorrectedBoundary()).scan(u).last.coefficients
    far, near = (np.linalg.norm(c - exact) for c in (plain, mean))
    assert near < 0.5 * far
    z = (
        np.arange(100)[:, None] + np.polynomial.legendre.leggauss(8)[0] / 2 + 0.5
    ) / 100
    weights = np.polynomial.legendre.leggauss(8)[1] / 200
    values = np.asarray(jax.jit(Fourier(21).values)(jnp.asarray(z)))
    direct = np.einsum("kgn,g,kc->nc", values, weights, u[500:])
    assert np.allclose(exact, direct, atol=1e-12)


def test_each_channel_may_have_its_own_clock():
    u = RNG.standard_normal((40, 3))
    # clocks of one kind share one program, whatever their parameters
    memories = tuple(LagMemory(Legendre(12), PowerClock(p)) for p in (0.5, 1.0, 2.0))
    many = ChannelMemory(memories)
    states = many.scan(u)
    alone = [m.scan(u[:, k : k + 1]).last for k, m in enumerate(memories)]
    assert many.error(states).shape == (3,)
    times = np.linspace(35.0, 39.0, 5)
    both = [m.reconstruct(s, times)[:, 0] for m, s in zip(memories, alone)]
    assert np.allclose(many.reconstruct(states, times), np.stack(both, 1))
    with pytest.raises(InputError, match="`u`"):
        many.scan(u[:, :2])


@pytest.mark.parametrize("b", [0.0, 1.5])
def test_derivative_in_the_log_ratio_is_the_generator_times_a(b):
    f = lambda x: dilation_matrix(12, b, x)
    h = 1e-5

    @jax.jit
    def slopes(x):
        return (f(x + h) - f(x - h)) / (2 * h), jax.jacfwd(f)(x), jax.jacrev(f)(x)

    central, forward, backward = slopes(jnp.asarray(-0.4))
    assert np.max(np.abs(forward - central)) < 1e-7
    assert np.max(np.abs(backward - central)) < 1e-7


def test_matrix_free_step_equals_the_matrix_and_differentiates():
    c = RNG.standard_normal((64, 3))
    fast = jax.jit(apply_dilation, static_argnums=2)
    exact = jax.jit(lambda x, c: dilation_matrix(64, 0.0, x) @ c)
    for k in (256, 10**5):
        log_r = jnp.asarray(np.log1p(-1.0 / (k + 1.0)))
        terms = taylor_terms(64, float(log_r))
        gap = fast(log_r, jnp.asarray(c), terms) - exact(log_r, jnp.asarray(c))
        assert np.max(np.abs(gap)) < 1e-12

    @jax.jit
    def slopes(x, c):
        size = lambda way: jax.grad(lambda x: jnp.sum(way(x) ** 2))(x)
        matrix = lambda x: dilation_matrix(64, 0.0, x) @ c
        return size(lambda x: apply_dilation(x, c, 20)), size(matrix)

    assert np.isclose(*slopes(jnp.asarray(-1e-3), jnp.asarray(c)), rtol=1e-10)


def test_clocks_are_learned_by_gradient_through_a_whole_scan():
    u = jnp.asarray(RNG.standard_normal((200, 1)))
    truth = LagMemory(Legendre(6), PowerClock(1.7)).scan(u).last.coefficients

    def loss(power):
        memory = LagMemory(Legendre(6), PowerClock(power))
        return jnp.sum((memory.scan(u).last.coefficients - truth) ** 2)

    value = lambda p: float(jax.jit(loss)(jnp.asarray(p)))
    slope = float(jax.jit(jax.grad(loss))(jnp.asarray(1.4)))
    central = (value(1.4 + 1e-5) - value(1.4 - 1e-5)) / 2e-5
    assert np.isclose(slope, central, rtol=1e-6)
    assert value(1.7) < 1e-24


def test_gradients_through_samples_and_certificate():
    u = jnp.asarray(RNG.standard_normal((30, 1)))
    memory = LagMemory(Legendre(5), ScaleClock())
    f = jax.jit(lambda u: jnp.sum(memory.error(memory.scan(u).last)))
    slope = jax.jit(jax.grad(f))(u)
    h = 1e-6
    bump = jnp.zeros_like(u).at[11, 0].set(h)
    assert np.isclose(slope[11, 0], (f(u + bump) - f(u - bump)) / (2 * h), rtol=1e-6)


def test_scans_batch_and_compile_once():
    traces = []

    @jax.jit
    def run(u):
        traces.append(1)
        return LagMemory(Legendre(8), ScaleClock()).scan(u).last.coefficients

    u = RNG.standard_normal((5, 40, 2))
    many = jax.vmap(run)(u)
    assert np.allclose(many[3], run(u[3]), atol=1e-13)
    count = len(traces)
    run(u[4])
    assert len(traces) == count


def test_float32_runs_stay_close():
    u = RNG.standard_normal((4000, 1))
    memory = LagMemory(Legendre(64), ScaleClock())
    wide = memory.scan(u).last
    narrow = memory.scan(u.astype(np.float32)).last
    assert narrow.coefficients.dtype == jnp.float32
    gap = np.linalg.norm(
        np.asarray(narrow.coefficients) - np.asarray(wide.coefficients)
    )
    assert gap < 1e-6 * np.linalg.norm(wide.coefficients)


@pytest.mark.slow
def test_float32_without_any_float64_stays_close(tmp_path):
    """In a process of its own, because the precision of jax is chosen once."""
    u = RNG.standard_normal((50_000, 2))
    u[:, 1] += 1.0
    wide = np.asarray(LagMemory(Legendre(64), ScaleClock()).scan(u).last.coefficients)
    np.save(tmp_path / "u.npy", u.astype(np.float32))
    program = (
        "import sys, numpy as np, jax\n"
        "from slipstate.memory import LagMemory, Legendre, ScaleClock\n"
        "assert not jax.config.jax_enable_x64\n"
        "u = np.load(sys.argv[1] + '/u.npy')\n"
        "last = LagMemory(Legendre(64), ScaleClock()).scan(u).last\n"
        "np.save(sys.argv[1] + '/c.npy', last.coefficients)\n"
    )
    environment = os.environ | {"JAX_ENABLE_X64": "0"}
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, env=environment
    )
    narrow = np.load(tmp_path / "c.npy")
    assert narrow.dtype == np.float32
    # of white noise little is kept; what is kept is right all the same
    for channel in (0, 1):
        gap = np.linalg.norm(narrow[:, channel] - wide[:, channel])
        assert gap < 1e-5 * np.linalg.norm(wide[:, channel])


@pytest.mark.slow
@pytest.mark.parametrize("memory", [ROADS[0], ROADS[1], ROADS[5]], ids=label)
def test_covariance_equals_the_sum_over_sample_answers(memory):
    n = 15
    sigma = RNG.uniform(0.5, 2.0, n)
    answers = jax.jacrev(lambda u: memory.scan(u[:, None]).last.coefficients[:, 0])(
        jnp.zeros(n)
    )
    answers = np.asarray(answers)
    direct = (answers * sigma**2) @ answers.T
    cov = memory.covariance(sigma)
    assert np.allclose(cov, direct, atol=1e-12)
    state = memory.scan(np.zeros((n, 1))).last
    sd = memory.reconstruct_sd(cov, state, [10.0, 12.5])
    lag = memory.clock.lag(jnp.asarray([10.0, 12.5]), state.time)
    p = np.asarray(memory.basis.at(lag))
    assert np.allclose(sd**2, np.diag(p @ direct @ p.T), atol=1e-12)


def test_hand_over_reports_its_error():
    memories = [
        (LagMemory(Legendre(16), ExponentialClock(3.0)), 1),
        (LagMemory(Laguerre(16), ExponentialClock(3.0)), 1),
        (LagMemory(Legendre(16), WindowClock(3.0)), 2),
        (LagMemory(Fourier(15), WindowClock(3.0)), 1),
    ]
    for memory, rank in memories:
        split = to_nplr(memory)
        assert split.P.shape[1] == rank
        assert float(split.error) < 1e-13
        step = to_lti(memory, 1e-7)
        back = split.V @ (jnp.diag(split.eigenvalues) - split.P @ split.Q.conj().T)
        assert np.allclose(
            (step.A - np.eye(memory.basis.modes)) / 1e-7,
            np.real(back @ split.V.conj().T),
            atol=1e-2,
        )
        assert float(to_diagonal(memory, gain=0.5).error) > 0.01
    eigenvalues = np.asarray(to_nplr(memories[0][0]).eigenvalues) * 3.0
    published = np.sort(hippo.s4d_legs(8).imag)
    assert np.allclose(np.sort(eigenvalues.imag)[8:], published, rtol=1e-10)
    with pytest.raises(MethodError, match="invariant"):
        to_lti(LagMemory(Legendre(4), ScaleClock()), 1.0)
    with pytest.raises(MethodError, match="generator"):
        to_nplr(LagMemory(ChebyshevT(4), WindowClock(1.0)))


def test_closure_is_measured():
    exact = LagMemory(Jacobi(16, 0.0, 0.7), ScaleClock())
    assert exact.closed
    assert float(exact.closure_defect(1.0)) < 1e-13
    window = LagMemory(Legendre(16), WindowClock(1.0))
    found = [float(window.closure_defect(d)) for d in (0.1, 0.01, 0.001)]
    assert np.allclose(found, [0.078, 0.0354, 0.00093], rtol=0.01)


LEGS = LagMemory(Legendre(4), ScaleClock())
SIGNAL = np.ones((5, 1))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (
            lambda: LEGS.scan(SIGNAL, np.array([0, 1, 2, 2, 3, 4.0])),
            "`t` must increase",
        ),
        (lambda: LEGS.scan(SIGNAL, np.arange(5.0)), "`t` must hold the 6"),
        (lambda: LEGS.scan(SIGNAL, np.arange(6.0) - 1), "`t` must not lie before"),
        (lambda: LEGS.scan(SIGNAL, np.arange(6.0) * 1j), "`t` must be real"),
        (lambda: LEGS.scan(SIGNAL * np.nan), "`u` must be finite"),
        (lambda: LEGS.scan(SIGNAL * 1j), "`u` must be real"),
        (lambda: LEGS.scan(np.ones((2, 2, 2))), "`u` must have shape"),
        (lambda: LEGS.scan(SIGNAL, mask=np.ones((4, 1), bool)), "`mask`"),
        (lambda: LEGS.scan(SIGNAL, mask=np.ones((5, 1))), "`mask` must be boolean"),
        (lambda: LEGS.transition(2.0, 1.0), "`t1`.*dt >= 0"),
        (lambda: LEGS.transition(-1.0, 1.0), "`t0`"),
        (lambda: LEGS.step(LEGS.init(2), [1.0], 1.0), "`u`"),
        (lambda: LEGS.step(LEGS.init(1, time=3.0), [1.0], 1.0), "`t1`"),
        (lambda: LEGS.init(0), "`channels`"),
        (lambda: LagMemory(Legendre(4), LinearHold()), "clock"),  # pyright: ignore
        (lambda: LagMemory(Laguerre(4), WindowClock(1.0)), "`clock` WindowClock"),
        (
            lambda: LagMemory(Legendre(4), ScaleClock(), LinearHold()).scan(
                SIGNAL, np.arange(6.0)
            ),
            "`t` must hold the 5 sample times",
        ),
        (
            lambda: LagMemory(
                Legendre(4), WindowClock(1.0), CellHold(), MeanCorrectedBoundary()
            ),
            "`boundary`",
        ),
        (
            lambda: LagMemory(
                Legendre(4), ScaleClock(), CellHold(), BufferedBoundary(3)
            ),
            "`boundary`",
        ),
        (lambda: BufferedBoundary(0), "`capacity`"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_input_names_the_argument(call, argument):
    with pytest.raises((InputError, TypeError), match=argument):
        call()


def test_states_of_an_open_memory_have_no_closed_form():
    with pytest.raises(MethodError, match="states_at"):
        LagMemory(ChebyshevT(4), ScaleClock()).states_at([1.0], SIGNAL)


@pytest.mark.slow
def test_large_memories_over_a_million_steps():
    """No overflow, NaN or loss of orthogonality; float32 within 1e-5."""
    u = RNG.standard_normal((1_000_000, 1)) + np.sin(np.arange(1e6) / 1e5)[:, None]
    memory = LagMemory(Legendre(256), ScaleClock())
    wide = memory.scan(u).last
    assert np.all(np.isfinite(wide.coefficients))
    assert np.all(np.sum(np.asarray(wide.coefficients) ** 2, 0) <= wide.energy)
    mean, power = np.mean(u), np.mean(u**2)
    assert np.isclose(wide.coefficients[0, 0], mean, rtol=1e-10)
    assert np.isclose(wide.energy[0], power, rtol=1e-10)
    narrow = memory.scan(u.astype(np.float32)).last
    gap = np.linalg.norm(
        np.asarray(narrow.coefficients) - np.asarray(wide.coefficients)
    )
    assert gap < 1e-5 * np.linalg.norm(wide.coefficients)
    size = eqx.filter_jit(lambda k: jnp.linalg.norm(memory.transition(k, k + 1).A, 2))
    for k in (1.0, 10.0, 1e3, 1e6):
        # |A| = sqrt(r): nothing grows
        assert np.isclose(size(k), np.sqrt(k / (k + 1)), rtol=1e-12)
