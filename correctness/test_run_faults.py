"""Faults that only a user's run shows: of a process, its threads, its arithmetic, or of what is timed later.

Each is one wrong line in a copy of the whole package, which runs as a user runs it.
"""

from dataclasses import replace

import pytest

from correctness.places import CALLED_BY, RETURN_RUN
from correctness.planted import (
    Fault,
    check_run,
    in_runs,
    planted_package,
    recorded,
    skip_unless_possible,
    time_case,
)

_PROBLEMS = "problems/training.py"
_PRODUCTS = '    return lambda steps=None: {"product": [a @ b for a in left[:steps]]}\n'
_PHASES = ("test_forward", "test_backward")
_TWO_THREADS = ("--threads", "2")
_MANY_ROUNDS = ("--benchmark-min-rounds=100",)
_TINY = "tiny_3x2x1"
_SINCE_TIMED = (
    CALLED_BY
    + """    timed = []

    def has_begun():  # pytest-benchmark times in its function "runner"
        timed.extend([True] * is_called_by("benchmark/fixture.py runner"))
        return bool(timed)
"""
)
_NOT_RECORDED = r"NOT RECORDED, .*\s+tiny_3x2x1-numpy\.by_hand-cpu-float32:\s+√losses\s+of\s+the\s+"


def _wrong_within(function, wrong='outputs["losses"] *= 2'):
    """Return source code that does something else where a function calls it."""
    return (
        CALLED_BY
        + f"""    def later(steps: int = problem.steps) -> dict[str, Any]:
        outputs = run(steps)
        if is_called_by(" {function}"):
            {wrong}
        return outputs

    return later
"""
    )


RUN_FAULTS = [
    # Threads.
    Fault(
        "OpenBLAS with a thread too many",
        "numpy",
        "by_hand",
        "machine/threads.py",
        "str(count))",
        "str(count + 1))",
        _TINY,
        cpus=2,
        caught_by=r"--threads 1 is not honoured: openblas \(.*\) has 2",
    ),
    Fault(
        "torch with a thread too many",
        "torch",
        "tensors",
        "frameworks/torch/runtime.py",
        "torch.set_num_threads(threads)",
        "torch.set_num_threads(threads + 1)",
        _TINY,
        caught_by="--threads 1 is not honoured: .*torch has 2",
    ),
    Fault(
        "TensorFlow with a thread too many",
        "tensorflow",
        "function",
        "frameworks/tensorflow/runtime.py",
        "set_intra_op_parallelism_threads(threads)",
        "set_intra_op_parallelism_threads(threads + 1)",
        _TINY,
        caught_by="--threads 1 is not honoured: .*tensorflow has 2",
    ),
    Fault(
        "JAX with a thread too many",
        "jax",
        "jit",
        "frameworks/jax/runtime.py",
        'os.environ["NPROC"] = str(threads)',
        'os.environ["NPROC"] = str(threads + 1)',
        _TINY,
        caught_by="--threads 1 is not honoured: .*jax has 2",
    ),
    Fault(
        "JAX dispatches on a thread of its own",
        "jax",
        "jit",
        "frameworks/jax/runtime.py",
        'jax.config.update("jax_cpu_enable_async_dispatch", False)',
        'jax.config.update("jax_cpu_enable_async_dispatch", True)',
        _TINY,
        caught_by="--threads 1 is not honoured: jax computes one call while it dispatches the next",
    ),
    Fault(
        "a forward pass with a second thread",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        "    return lambda: forward(parameters), backward_once",
        """    import hashlib
    from concurrent.futures import ThreadPoolExecutor

    # Long enough for both CPUs to be woken.
    data, pool = bytes(2**25), ThreadPoolExecutor(2)

    def along() -> Any:
        list(pool.map(lambda _: hashlib.sha256(data).digest(), range(2)))
        return forward(parameters)

    return along, backward_once""",
        _TINY,
        cpus=2,
        in_seconds=True,
        spares=("test_training", "test_backward"),
        caught_by=r"test_forward\[.*--threads 1 is not honoured: it uses .* CPU seconds per second",
    ),
    Fault(
        "OpenBLAS whose idle threads do not sleep",
        "numpy",
        "by_hand",
        "machine/threads.py",
        '"OPENBLAS_THREAD_TIMEOUT": "4"',
        '"OPENBLAS_THREAD_TIMEOUT": "28"',
        "two_layer_784x30x10",
        cpus=2,
        in_seconds=True,
        options=_TWO_THREADS,
        caught_by="idle threads do not sleep: after a call, this process uses .* CPU seconds per second",
    ),
    Fault(
        "torch whose idle threads do not sleep",
        "torch",
        "tensors",
        "machine/threads.py",
        '"GOMP_SPINCOUNT": "1000"',
        '"GOMP_SPINCOUNT": "1000000000"',
        "two_layer_784x30x10",
        cpus=2,
        in_seconds=True,
        options=_TWO_THREADS,
        caught_by="idle threads do not sleep: after a call, this process uses .* CPU seconds per second",
    ),
    # Arithmetic.
    Fault(
        "TF32 in torch",
        "torch",
        "operator",
        "frameworks/torch/runtime.py",
        'torch.set_float32_matmul_precision("highest")',
        'torch.set_float32_matmul_precision("high")',
        "matmul_64x64x64",
        family="matmul",
        caught_by="float32 products may be computed in TF32 or less",
    ),
    Fault(
        "TF32 in TensorFlow",
        "tensorflow",
        "operator",
        "frameworks/tensorflow/runtime.py",
        "enable_tensor_float_32_execution(False)",
        "enable_tensor_float_32_execution(True)",
        "matmul_64x64x64",
        family="matmul",
        caught_by="float32 products may be computed in TF32 or less",
    ),
    Fault(
        "JAX's default precision",
        "jax",
        "jit",
        "frameworks/jax/runtime.py",
        '    jax.config.update("jax_default_matmul_precision", "highest")\n',
        "",
        "matmul_64x64x64",
        family="matmul",
        caught_by="float32 products may be computed in TF32 or less",
    ),
    Fault(
        "subnormal numbers flushed to zero",
        "torch",
        "operator",
        "frameworks/torch/runtime.py",
        "    torch.backends.cudnn.allow_tf32 = False\n",
        "    torch.backends.cudnn.allow_tf32 = False\n    torch.set_flush_denormal(True)\n",
        "matmul_64x64x64",
        family="matmul",
        caught_by="subnormal numbers are flushed to zero in this process",
    ),
    # Data whose arithmetic takes another time.
    Fault(
        "subnormal data",
        "numpy",
        "by_hand",
        _PROBLEMS,
        "    x = generator.standard_normal((problem.batch, problem.features))\n    return x,",
        "    x = 1e-42 * generator.standard_normal((problem.batch, problem.features))\n    return x,",
        _TINY,
        caught_by="the inputs: x holds a subnormal number in float32",
    ),
    Fault(
        "gradients that become subnormal",
        "numpy",
        "by_hand",
        _PROBLEMS,
        """PROBLEMS: tuple[Problem, ...] = (
""",
        """PROBLEMS: tuple[Problem, ...] = (
    replace(
        _TINY,
        name="converging_1x1",
        features=1,
        layers=(Layer(1),),
        optimizer=SGD(0.9 / 128),  # the error falls to a tenth at each step
        draw=lambda generator, problem: (np.ones((64, 1)), np.zeros((64, 1))),
    ),
""",
        "converging_1x1",
        caught_by=r"converging_1x1, step 3\d: w1 holds a subnormal number in float32",
    ),
    Fault(
        "a training that diverges",
        "numpy",
        "by_hand",
        _PROBLEMS,
        "optimizer=SGD(1e-5),",
        "optimizer=SGD(1e-3),",
        "polynomial_degree4",
        caught_by=r"polynomial_degree4, step \d+: .* holds a NaN or an infinity in float64",
    ),
    # Not waited for.
    Fault(
        "JAX's results not waited for",
        "jax",
        "scan",
        "frameworks/jax/training/scan.py",
        "jax.block_until_ready(train(initial, x, y, steps))",
        "train(initial, x, y, steps)",
        "two_layer_1000x100x10",
        cpus=2,
        options=_TWO_THREADS,
        caught_by="the call returned before .* was ready",
    ),
    # Halves of a step that are timed separately.
    Fault(
        "a forward pass computed once",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        "    return lambda: forward(parameters), backward_once",
        "    state = forward(parameters)\n    return lambda: state, backward_once",
        _TINY,
        spares=("test_training",),
        caught_by="(both halves|forward): .* operations in matrix products counted, .* needed",
    ),
    # Right until it is timed.
    Fault(
        "copies of an early call, once it was checked",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        RETURN_RUN,
        _SINCE_TIMED
        + """
    kept: dict[int, Any] = {}

    def once(steps: int = problem.steps) -> dict[str, Any]:
        if not has_begun() or steps not in kept:
            kept[steps] = run(steps)
        return {name: array.copy() for name, array in kept[steps].items()}

    return once
""",
        "two_layer_1000x100x10",
        options=_MANY_ROUNDS,
        spares=_PHASES,
        caught_by="faster than this machine",
    ),
    Fault(
        "copies of an early call, in the style that would be the measure of all others",
        "numpy",
        "operator",
        "frameworks/numpy/matmul/operator.py",
        _PRODUCTS,
        _SINCE_TIMED
        + """
    kept = {}

    def once(steps=None):
        if not has_begun():
            kept.update(product=[a @ b for a in left[:steps]])
        return {name: [array.copy() for array in arrays] for name, arrays in kept.items()}

    return once
""",
        "matmul_512x512x512",
        family="matmul",
        options=_MANY_ROUNDS,
        caught_by="faster than this machine",
    ),
    Fault(
        "results added up, once they were checked",
        "numpy",
        "operator",
        "frameworks/numpy/matmul/operator.py",
        _PRODUCTS,
        _SINCE_TIMED
        + """
    total = []

    def once(steps=None):
        products = [a @ b for a in left[:steps]]
        if not has_begun() or len(total) != len(products):
            total[:] = products
        else:
            total[:] = [old + new for old, new in zip(total, products, strict=True)]
        return {"product": list(total)}

    return once
""",
        "matmul_64x64x64",
        family="matmul",
        options=_MANY_ROUNDS,
        caught_by="of the call after the timed ones disagrees",
    ),
    # Right in the calls of all steps alone, or right until a later moment.
    Fault(
        "wrong in short calls alone",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        "        return problem.outputs(losses, parameters, gradients)",
        "        return problem.outputs(losses * (1 if steps > 1 else 2), parameters, gradients)",
        "two_layer_784x30x10",
        spares=_PHASES,
        caught_by="√losses of the first call disagrees in 1 of 1 entries",
    ),
    Fault(
        "wrong in long calls alone",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        "        return problem.outputs(losses, parameters, gradients)",
        "        right = steps in (1, problem.steps)\n"
        "        return problem.outputs(losses * (1 if right else 2), parameters, gradients)",
        "two_layer_784x30x10",
        spares=_PHASES,
        caught_by="√losses of the first call disagrees",
    ),
    Fault(
        "kept for calls of each length",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        RETURN_RUN,
        """    kept: dict[int, dict[str, Any]] = {}

    def once(steps: int = problem.steps) -> dict[str, Any]:
        if steps not in kept:
            kept[steps] = run(steps)
        return kept[steps] if steps < problem.steps else run(steps)

    return once
""",
        "two_layer_784x30x10",
        spares=_PHASES,
        caught_by="was not computed again: what the caller wrote there came back",
    ),
    Fault(
        "copies of the first call of each length",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        RETURN_RUN,
        """    kept: dict[int, dict[str, Any]] = {}

    def once(steps: int = problem.steps) -> dict[str, Any]:
        if steps not in kept:
            kept[steps] = run(steps)
        copies = {name: np.array(array.tolist(), array.dtype) for name, array in kept[steps].items()}
        return copies if steps < problem.steps else run(steps)

    return once
""",
        "two_layer_784x30x10",
        spares=_PHASES,
        caught_by="does less work than the problem takes: 0 operations",
    ),
    Fault(
        "more work in short calls alone, which makes a step seem shorter",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        "        return problem.outputs(losses, parameters, gradients)",
        "        if steps == 1:\n"
        "            forward(parameters)\n"
        "        return problem.outputs(losses, parameters, gradients)",
        "two_layer_784x30x10",
        spares=_PHASES,
        caught_by="does more work than the problem takes: .* counted in 1 steps",
    ),
    Fault(
        "wrong at a later moment in this process",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        RETURN_RUN,
        _wrong_within("_take_all"),
        _TINY,
        spares=_PHASES,
        caught_by=_NOT_RECORDED + r"call\s+after\s+the\s+timed\s+ones",
    ),
    Fault(
        "an error at a later moment",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        RETURN_RUN,
        _wrong_within("_take_all", 'raise MemoryError("of all things")'),
        _TINY,
        spares=_PHASES,
        caught_by=r"NOT RECORDED, .*\s+tiny_3x2x1-numpy\.by_hand-cpu-float32: +MemoryError: of all things",
    ),
    Fault(
        "wrong at a moment in the second process",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        RETURN_RUN,
        _wrong_within("_moment"),
        _TINY,
        spares=_PHASES,
        caught_by=r"NOT RECORDED, .*\s+in\s+the\s+second\s+process:\s+tiny_3x2x1-numpy\.by_hand-cpu-float32:",
    ),
]


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", in_runs(RUN_FAULTS))
def test_fault_fails_a_run(fault, choice, tmp_path):
    """A user's run of the faulty package fails, with a message, and records nothing of the case."""
    check_run(fault, choice, tmp_path)


@pytest.mark.parametrize(
    "fault",
    {fault.framework: fault for fault in RUN_FAULTS}.values(),
    ids=lambda fault: fault.framework,
)
def test_run_without_fault_passes(fault, choice, tmp_path):
    """The same run of a copy without a fault passes and records the case. The header shows that the copy runs."""
    skip_unless_possible(fault, choice)
    header = 'return f"gradperf: tier'
    harmless = replace(fault, file="suite/plugin.py", right=header, wrong=header.replace(":", ", a copy:"))
    planted_package(harmless, tmp_path)
    code, printed = time_case(fault, tmp_path)
    assert code == 0, printed
    assert "gradperf, a copy: tier" in printed
    assert recorded(tmp_path, fault.problem)


def test_faults_are_distinct():
    """They are in every framework, and each names the message of its check."""
    assert len({fault.id for fault in RUN_FAULTS}) == len(RUN_FAULTS)
    assert {fault.framework for fault in RUN_FAULTS} == {"numpy", "torch", "tensorflow", "jax"}
    assert all(fault.caught_by for fault in RUN_FAULTS)
