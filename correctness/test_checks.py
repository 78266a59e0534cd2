"""The checks themselves: each one fails when it should, and reports both numbers and where they are."""

import hashlib
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from gradperf import cases, frameworks
from gradperf.checks import agreement, conduct
from gradperf.checks.agreement import Disagreement
from gradperf.checks.misconduct import Misconduct
from gradperf.frameworks.contract import Style
from gradperf.frameworks.numpy.training import by_hand

TINY = "tiny_bias_3x2x1-numpy.by_hand-cpu-float64"


@pytest.fixture
def tiny(settings):
    """Return a case to check arrays for."""
    return cases.find(TINY, settings)


@pytest.fixture
def true(tiny, settings):
    """Return inputs, reference and reference gradients."""
    inputs, _ = agreement.drawn(tiny.problem, settings.seed, tiny.dtype)
    reference = tiny.problem.reference(inputs)
    gradients = tiny.problem.gradient_problem().reference(inputs)
    return inputs, reference, gradients


def copies(arrays):
    """Return arrays that may be changed."""
    return {name: array.copy() for name, array in arrays.items()}


def check(case, found, reference):
    """Run the check of names, dtypes, shapes and entries."""
    arrays = agreement.to_numpy(case, frameworks.load("numpy", 1), found, reference)
    agreement.check_entries(case, arrays, reference)


def test_the_reference_agrees_with_itself(tiny, true):
    """Correct arrays pass every check."""
    inputs, reference, gradients = true
    check(tiny, reference, reference)
    agreement.check_way(tiny, tiny.problem.steps, inputs, reference, reference)
    agreement.check_norms(tiny, gradients, gradients)


def test_missing_and_surplus_outputs(tiny, true):
    """The outputs have exactly the names of the reference."""
    _, reference, _ = true
    fewer = copies(reference)
    fewer.pop("b2")
    with pytest.raises(Disagreement, match="b2"):
        check(tiny, fewer, reference)
    with pytest.raises(Disagreement, match="surplus"):
        check(tiny, {**reference, "surplus": np.zeros(1)}, reference)


def test_dtype_and_shape(tiny, true):
    """An output in another dtype or shape fails."""
    _, reference, _ = true
    with pytest.raises(Disagreement, match="w1 is float32, the case says float64"):
        check(tiny, {**reference, "w1": reference["w1"].astype("float32")}, reference)
    with pytest.raises(Disagreement, match=r"w1 has shape \(2, 3\), not \(3, 2\)"):
        check(tiny, {**reference, "w1": reference["w1"].T}, reference)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 2.0])
def test_one_wrong_entry(tiny, true, wrong):
    """One wrong entry is enough, a NaN too; the message states where it is, and both numbers."""
    _, reference, _ = true
    found = copies(reference)
    found["w1"][2, 1] = wrong
    message = (
        rf"w1 disagrees in 1 of 6 entries; furthest at \(2, 1\): {wrong:.9g}, reference {reference['w1'][2, 1]:.9g}"
    )
    with pytest.raises(Disagreement, match=message.replace("+", r"\+")):
        check(tiny, found, reference)


def test_nothing_trained(settings):
    """Weights that never changed pass ``allclose`` in float32, but fail the check of their change."""
    case = cases.find("tiny_bias_adam_3x2x1-numpy.by_hand-cpu-float32", settings)
    case = replace(case, problem=replace(case.problem, steps=1))
    inputs, _ = agreement.drawn(case.problem, settings.seed, case.dtype)
    reference = case.problem.reference(inputs)
    unmoved = {name: inputs.get(name, array).astype("float32") for name, array in reference.items()}
    check(case, unmoved, reference)
    with pytest.raises(Disagreement, match=r"w1 went another way: moved by 0, the reference by 2\.4"):
        agreement.check_way(case, 1, {"w1": inputs["w1"]}, unmoved, reference)


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("float64", 1e-11)])
def test_gradient_bound(tiny, true, dtype, bound):
    """A gradient just within the bound passes, one just outside it fails."""
    _, _, gradients = true
    case = replace(tiny, dtype=dtype)
    for factor, passes in ((0.9, True), (1.1, False)):
        found = {name: array * (1 + factor * bound) for name, array in gradients.items()}
        if passes:
            agreement.check_norms(case, found, gradients)
        else:
            with pytest.raises(Disagreement, match=r"grad_w1 is off by 1\.1e-"):
                agreement.check_norms(case, found, gradients)


def test_nan_gradient(tiny, true):
    """An error that is NaN is not within any bound."""
    _, _, gradients = true
    found = copies(gradients)
    found["grad_b1"][0] = np.nan
    with pytest.raises(Disagreement, match="grad_b1"):
        agreement.check_norms(tiny, found, gradients)


def test_changed_inputs(tiny, settings):
    """The hash catches a style that writes into the shared inputs, and a framework that changes them."""
    inputs = {"x": np.zeros(3)}
    digest = agreement.problems.sha256(inputs)
    agreement.check_unchanged(tiny, inputs, digest)
    inputs["x"][0] = 1
    with pytest.raises(Disagreement, match="wrote into its inputs"):
        agreement.check_unchanged(tiny, inputs, digest)

    class Rounding:
        from_numpy = staticmethod(lambda array, device: array.astype("float32"))
        to_numpy = staticmethod(lambda array: array.astype("float64"))

    given = {"x": np.array([0.1])}
    with pytest.raises(Disagreement, match="inputs changed on the way through numpy"):
        agreement.check_round_trip(tiny, Rounding, given, agreement.problems.sha256(given))


class WritesIntoItsInputs:
    """A style whose outputs are right, but which changes x for the next style."""

    @staticmethod
    def spoil(inputs, outputs):
        """Change one number, and return the outputs that were computed before."""
        inputs["x"].flags.writeable = True
        inputs["x"][0, 0] += 1
        return outputs

    @classmethod
    def prepare(cls, problem, inputs, device, dtype):
        """Compute from a copy, so that both calls agree."""
        run = by_hand.prepare(problem, {name: array.copy() for name, array in inputs.items()}, device, dtype)
        return lambda: cls.spoil(inputs, run())


def test_style_that_writes_into_its_inputs(tiny, settings):
    """It is caught although its outputs are right. (A seed of its own, because inputs are cached by seed.)"""
    with pytest.raises(Disagreement, match="wrote into its inputs"):
        agreement.agree(tiny, replace(settings, seed=101), Style.of(WritesIntoItsInputs))


def test_phase_that_writes_into_its_inputs(tiny, settings):
    """A backward pass that does the same is caught too."""
    agreed = agreement.agree(tiny, replace(settings, seed=102))
    own = {name: array.copy() for name, array in agreed.inputs.items()}
    forward, backward = by_hand.phases(tiny.problem, own, "cpu", "float64")
    with pytest.raises(Disagreement, match="wrote into its inputs"):
        agreement.check_phases(
            agreed, (forward, lambda state: WritesIntoItsInputs.spoil(agreed.inputs, backward(state)))
        )


class Asynchronous:
    """numpy's runtime, as if numpy returned before it had finished."""

    from_numpy = to_numpy = staticmethod(lambda array, *_: array)
    ready = staticmethod(lambda array: False)
    wait = staticmethod(lambda value: None)


def test_call_that_returns_too_early(tiny, settings):
    """The results of a call must be ready when it returns."""
    with pytest.raises(Disagreement, match=r"returned before .* of the first call was ready"):
        agreement.agree(tiny, settings, runtime=Asynchronous)


def test_phase_that_returns_too_early(tiny, settings):
    """The same holds for a backward pass."""
    agreed = replace(agreement.agree(tiny, settings), runtime=Asynchronous)
    with pytest.raises(Disagreement, match=r"returned before losses, .* of the first backward pass was ready"):
        agreement.check_phases(agreed, by_hand.phases(tiny.problem, agreed.inputs, "cpu", "float64"))


def test_forward_pass_that_returns_too_early(tiny, settings):
    """Waiting for the result of a forward pass must take no time; three tries, as a process may be interrupted."""

    class Slow(Asynchronous):
        wait = staticmethod(lambda value: time.sleep(0.002))

    agreed = replace(agreement.agree(tiny, settings), runtime=Slow)
    with pytest.raises(Disagreement, match=r"the forward pass returned .* ms before it was ready"):
        agreement.check_phases(agreed, by_hand.phases(tiny.problem, agreed.inputs, "cpu", "float64"))


@pytest.mark.parametrize("id_", ["matmul_5x784x10-numpy.operator-cpu-float32", TINY])
@pytest.mark.parametrize("whole_calls", [1, 2])
def test_calls_of_all_steps_are_made_as_often_as_asked_for(id_, whole_calls, settings):
    """Also where there is no gradient; with one, two calls of one step come before."""
    case, steps = cases.find(id_, settings), []

    def prepare(problem, inputs, device, dtype):
        run = case.implementation.prepare(problem, inputs, device, dtype)
        return lambda: steps.append(problem.steps) or run()

    agreement.agree(case, settings, replace(case.implementation, prepare=prepare), whole_calls=whole_calls)
    probes = [] if case.problem.probe() == case.problem else [1, 1]
    assert steps == [*probes, *[case.problem.steps] * whole_calls]


def test_timed_call_that_carries_something_over(tiny, settings):
    """A call after the timed ones must return what the calls before them returned."""
    agreed = agreement.agree(tiny, settings)
    agreement.check_timed(agreed, agreed.run())
    drifted = {name: array * (1 + 1e-6) for name, array in agreed.outputs.items()}
    with pytest.raises(Disagreement, match="of the call after the timed ones disagrees"):
        agreement.check_timed(agreed, drifted)


@pytest.mark.parametrize(
    ("name", "seed"), [("two_layer_1000x100x10", 7), ("two_layer_784x30x10", 31), ("shifted_relu_784x50x1", 0)]
)
def test_seed_with_an_example_at_a_kink(name, seed, settings):
    """These seeds draw an example so near a ReLU's kink that float32 took the other side; it is drawn again."""
    case = cases.find(f"{name}-numpy.by_hand-cpu-float32", settings)
    agreement.agree(case, replace(settings, seed=seed))
    assert not case.problem.near_a_kink(case.problem.inputs(seed, "float64")).any()
    undisturbed = replace(
        case.problem, layers=tuple(replace(layer, activation="tanh") for layer in case.problem.layers)
    )
    if seed:
        assert case.problem.near_a_kink(undisturbed.inputs(seed, "float64")).any()


@pytest.mark.parametrize("count", [1, 2])
def test_threads_may_use_as_many_cpu_seconds_as_were_asked_for(count):
    """Each thread of those asked for may use one per second, and a tenth for the inexact clocks.

    A case on a GPU may use more: its framework has threads that launch and wait.
    """
    conduct.check_cpu_time("a case", "cpu", count * 1.09, count)
    conduct.check_cpu_time("a case", "cuda", count * 9, count)
    with pytest.raises(Misconduct, match=f"--threads {count} is not honoured: it uses .* CPU seconds"):
        conduct.check_cpu_time("a case", "cpu", count * 1.11, count)


def test_an_idle_thread_that_does_not_sleep(tiny, settings, monkeypatch):
    """Whatever other work leaves it, it has used CPU seconds. A pause in which it had none is measured again."""
    case = agreement.agree(tiny, settings)
    stop, data = threading.Event(), bytes(2**20)

    def work():
        while not stop.is_set():
            hashlib.sha256(data).digest()  # without the interpreter's lock

    def until_it_used_some(_):
        start_s = time.process_time()
        while time.process_time() - start_s < 0.02:
            stop.wait(0.001)

    conduct.check_idle(case, 2)
    monkeypatch.setattr(conduct, "IDLE_SHARE", 1e-3)  # for a machine with many busy processes
    monkeypatch.setattr(conduct.time, "sleep", until_it_used_some)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        with pytest.raises(Misconduct, match="idle threads do not sleep"):
            conduct.check_idle(case, 2)
    finally:
        stop.set()
        worker.join()


def test_a_call_outside_of_the_benchmark_that_takes_longer(tiny, settings, monkeypatch):
    """Then less work was done in the benchmark. A call that takes as long is accepted."""
    case = agreement.agree(tiny, settings)
    conduct.check_outside(case, tiny.implementation, round_s=10.0)
    monkeypatch.setattr(conduct, "OUTSIDE_S", 0.01)
    with pytest.raises(Misconduct, match="does less work in the benchmark than outside of it"):
        conduct.check_outside(case, tiny.implementation, round_s=1e-9)


def test_a_call_that_waits(tiny, settings):
    """It is refused if this process gave up its CPU, but not if the host took it."""
    case = agreement.agree(tiny, settings)
    rehearsal = conduct.rehearse(case)
    conduct.check_waits("a case", replace(rehearsal, idle_per_wall=0.9, pauses_per_call=0.1))
    conduct.check_waits("a case", replace(rehearsal, idle_per_wall=0.2, pauses_per_call=9.0))
    with pytest.raises(Misconduct, match="it waits in 90% of its time"):
        conduct.check_waits("a case", replace(rehearsal, idle_per_wall=0.9, pauses_per_call=1.0))
