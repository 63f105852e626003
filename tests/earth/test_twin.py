import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import (
    EnsembleTransformKalman,
    Observations,
    filter_series,
)
from slipstate.earth import (
    FaultObservation,
    SliderTransition,
    SpringSlider,
    build_twin,
    cycle_states,
    slow_slip_slider,
)
from slipstate.ground.errors import InputError
from slipstate.records import check_record


@pytest.fixture(scope="module")
def twin():
    return build_twin()


def elapsed_days(record):
    return (record.time.values - record.time.values[0]) / np.timedelta64(1, "D")


def test_the_record_keeps_the_schema_and_its_truth(twin):
    check_record(twin.record)
    assert twin.record.attrs["kind"] == "fault"
    assert tuple(twin.record.component.values) == ("ln V", "tau")
    assert tuple(twin.record.truth.dims) == ("time", "state")
    assert twin.record.sizes["time"] == 548
    assert bool(twin.record.mask.all())
    np.testing.assert_array_equal(np.diff(elapsed_days(twin.record)), 10.0)


def test_noise_is_as_large_as_stated(twin):
    truth = jnp.asarray(twin.record.truth.values)
    clean = jax.vmap(lambda x: twin.model.observation.predict(x, None))(truth)
    noise = (twin.record.value.values - np.asarray(clean)) / [0.5, 5e3]
    np.testing.assert_allclose(noise.std(0), 1.0, atol=0.1)
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.15)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.15


def test_the_truth_moves_as_the_transition_says(twin):
    truth = jnp.asarray(twin.record.truth.values)
    ahead = jax.vmap(lambda x: twin.model.transition.mean(x, None, 10.0))(truth[:-1])
    np.testing.assert_allclose(ahead, truth[1:], atol=2e-4)


def test_the_same_seed_gives_the_same_twin():
    one, again = (build_twin(years=1.0, members=5, seed=7) for _ in range(2))
    other = build_twin(years=1.0, members=5, seed=8)
    np.testing.assert_array_equal(one.record.value, again.record.value)
    assert not np.array_equal(one.record.value, other.record.value)


def test_the_first_ensemble_covers_the_whole_cycle(twin):
    members = np.asarray(twin.model.initial.members)
    phases = np.linspace(0.0, 1.0, 20_000, endpoint=False)
    states = np.asarray(cycle_states(twin.slider, twin.cycle, phases))
    apart = np.abs(members[:, None, :] - states[None, :, :]).sum(-1)
    assert apart.min(1).max() < 0.05  # every member is on the cycle
    nearest = np.sort(phases[apart.argmin(1)])
    assert np.diff(np.append(nearest, nearest[0] + 1.0)).max() < 2.1 / len(members)
    first_half = phases[apart.argmin(1)][: len(members) // 2]
    assert 0.2 < first_half.mean() < 0.8  # and they come in no order


def test_an_ensemble_filter_follows_the_fault(twin):
    days = elapsed_days(twin.record)
    observations = Observations(
        jnp.asarray(twin.record.value.values), t=jnp.asarray(days)
    )
    result = filter_series(
        twin.model, observations, EnsembleTransformKalman(), key=jax.random.key(3)
    )
    later = days > 2 * 365.25
    truth = twin.record.truth.values[later]
    error = np.sqrt(
        np.mean((np.asarray(result.predicted_means)[later] - truth) ** 2, 0)
    )
    climatology = truth.std(0)
    assert bool(jnp.isfinite(result.predicted_means).all())
    assert error[0] < 0.3 * climatology[0]
    assert error[1] < 0.4 * climatology[1]


def test_a_step_is_the_simulated_motion_and_splits_in_two():
    slider = slow_slip_slider()
    step = SliderTransition(slider, unit=86_400.0)
    mean = jax.jit(lambda x, dt: step.mean(x, None, dt))
    for state in ([-21.0, 17.0], [-14.5, 12.0], [-20.0, 15.5]):
        x = jnp.asarray(state)
        run = slider.simulate([0.0, 864_000.0], x)
        whole = mean(x, 10.0)
        np.testing.assert_allclose(
            whole, [run.ln_speed[-1], run.ln_state[-1]], atol=3e-5
        )
        np.testing.assert_allclose(mean(mean(x, 5.0), 5.0), whole, atol=3e-5)
        np.testing.assert_allclose(mean(x, 0.0), x, rtol=1e-15)


@pytest.mark.parametrize("fast", [True, False])
def test_absurd_members_come_back_finite_and_possible(fast):
    slider = (
        SpringSlider(a=0.010, b=0.015, Dc=1e-2, sigma=50e6, k=5e6, Vpl=1e-9)
        if fast
        else slow_slip_slider()
    )
    step = SliderTransition(slider)
    values = [-1e300, -1e6, -80.0, -20.0, 0.0, 50.0, 1e6, float("inf"), float("nan")]
    x, y = np.meshgrid(values, values)
    members = jnp.asarray(np.stack([x.ravel(), y.ravel()], 1))
    after = jax.vmap(lambda m: step.mean(m, None, 10.0))(members)
    assert bool(jnp.isfinite(after).all())
    assert float(after[:, 0].max()) <= np.log(10.0)
    clamped = jax.vmap(step.clamp)(after)
    np.testing.assert_array_equal(clamped, after)


def test_an_ordinary_member_does_not_feel_the_absurd_ones():
    step = SliderTransition(slow_slip_slider())
    good = jnp.asarray([-21.0, 17.0])
    members = jnp.stack([good, jnp.asarray([40.0, -90.0]), jnp.asarray([jnp.nan, 0.0])])
    together = jax.vmap(lambda m: step.mean(m, None, 10.0))(members)
    np.testing.assert_allclose(together[0], step.mean(good, None, 10.0), rtol=1e-12)


def test_disturbance_grows_with_the_root_of_time():
    step = SliderTransition(slow_slip_slider(), diffusion=[0.1, 0.02])
    factor = step.noise_factor(jnp.zeros(2), None, 4.0)
    np.testing.assert_allclose(factor, np.diag([0.2, 0.04]))


def test_the_observation_is_speed_and_stress_in_the_order_asked():
    slider = slow_slip_slider()
    x = jnp.asarray([-18.0, 16.0])
    both = FaultObservation(slider)
    np.testing.assert_allclose(
        both.predict(x, None), [-18.0, float(slider.stress(x[0], x[1]))]
    )
    assert both.units == ("1", "Pa")
    np.testing.assert_allclose(both.noise_factor(), np.diag([0.5, 5e3]))
    stress = FaultObservation(slider, components=("tau",))
    assert stress.units == ("Pa",)
    np.testing.assert_allclose(stress.predict(x, None), both.predict(x, None)[1:])
    swapped = FaultObservation(slider, components=("tau", "ln V"))
    np.testing.assert_allclose(swapped.predict(x, None), both.predict(x, None)[::-1])


@pytest.mark.parametrize("components", [(), ("slip",), ("tau", "tau")])
def test_unknown_components_are_refused(components):
    with pytest.raises(InputError, match="`components` must be of"):
        FaultObservation(slow_slip_slider(), components=components)


def test_a_creeping_fault_makes_no_twin():
    creeping = SpringSlider(a=0.010, b=0.015, Dc=1e-2, sigma=50e6, k=1e8, Vpl=1e-9)
    with pytest.raises(InputError, match="it creeps steadily"):
        build_twin(slider=creeping)
    with pytest.raises(InputError, match="`years` must hold two samples"):
        build_twin(years=0.01)
