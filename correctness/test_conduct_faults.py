"""Faults of conduct, of the kinds that pass where only numbers and products are checked.

A style is executed otherwise than its name says, is honest until it is timed, computes in another precision,
changes what all cases share, computes in other processes, or compiles before any time is taken; or the data
exercise nothing. Each is one wrong line.
"""

import pytest

from correctness.places import AUTOGRAD, BY_HAND, CALLED_BY, GRAPH, JIT, RETURN_RUN, SCAN, TAPE, TENSORS
from correctness.planted import Fault, check_examined, check_run, in_runs

_OTHERWISE = "is executed otherwise than its style says: {}"
_NOT_CALLED = "does not call {}, which its style stands for"
_DIFFERENTIATED = "is differentiated by {}, which its style does not say"
_ELSEWHERE = "computes in another dtype than float32"
_MANY_ROUNDS = ("--benchmark-min-rounds=300",)
_PRECISION = "(does less work|outputs are off|disagrees|went another way)"
_TINY = "tiny_3x2x1"
_PARTS = ("test_forward", "test_backward")


def _as_user(what, framework, style, file, right, wrong, caught_by, problem=_TINY, **more):
    """Return a fault in the whole package; ``file`` is in the framework's folder, or begins with a slash."""
    path = file[1:] if file.startswith("/") else f"frameworks/{framework}/{file}"
    return Fault(what, framework, style, path, right, wrong, problem, caught_by=caught_by, **more)


def _in_double(copy, *more):
    """Return source code that computes a float32 case in float64."""
    arguments = "".join(f", {argument}" for argument in more)
    return f"""    if inputs["x"].dtype == "float32":
        wide = prepare(problem, {{n: a.astype("float64") for n, a in inputs.items()}}{arguments})
        return lambda steps=problem.steps: {{n: {copy} for n, a in wide(steps).items()}}
    return run
"""


NOT_AS_NAMED = [
    Fault(
        "jitted",
        "jax",
        "grad",
        "training/grad.py",
        "network.step_of(problem))",
        "jax.jit(network.step_of(problem)))",
        caught_by=_OTHERWISE.format("jit, not eager"),
    ),
    Fault(
        "a jitted step instead of a scan",
        *SCAN,
        "    return lambda steps=problem.steps: jax.block_until_ready(train(initial, x, y, steps))\n",
        """    from gradperf.frameworks.jax import stepwise

    return stepwise.prepare(problem, inputs, device, jax.jit(step))
""",
        caught_by=_OTHERWISE.format("jit, not one program"),
    ),
    Fault(
        "jitted",
        "jax",
        "operator",
        "matmul/operator.py",
        "a @ b for a in",
        "jax.jit(jax.numpy.matmul)(a, b) for a in",
        "matmul_64x64x64",
        family="matmul",
        caught_by=_OTHERWISE.format("jit, not eager"),
    ),
    Fault(
        "by an eager backend",
        "torch",
        "compiled",
        "training/compiled.py",
        "fullgraph=True, dynamic=False)",
        'fullgraph=True, dynamic=False, backend="eager")',
        caught_by=_OTHERWISE.format("torch.compile without Inductor"),
    ),
    Fault(
        "its loss compiled",
        *AUTOGRAD,
        "    loss_of = make_loss(problem, x, y)\n\n    def run",
        '    loss_of = torch.compile(make_loss(problem, x, y), backend="aot_eager")\n\n    def run',
        caught_by=_OTHERWISE.format("torch.compile without Inductor, not eager"),
    ),
    Fault(
        "without XLA",
        "tensorflow",
        "xla",
        "calling.py",
        "*arguments, jit_compile=True)",
        "*arguments)",
        caught_by=_OTHERWISE.format("graph, not xla"),
    ),
    Fault(
        "without a graph",
        "tensorflow",
        "function",
        "training/function.py",
        "dtype, traced)",
        "dtype, lambda function, *arguments: function)",
        caught_by=_OTHERWISE.format("eager, not graph"),
    ),
    Fault(
        "by XLA",
        "tensorflow",
        "operator",
        "matmul/operator.py",
        'inputs["a"], [inputs["b"]])',
        'inputs["a"], [inputs["b"]], __import__("gradperf.frameworks.tensorflow.calling", fromlist="x").compiled)',
        "matmul_64x64x64",
        family="matmul",
        caught_by=_OTHERWISE.format("xla, not eager"),
    ),
    *(
        Fault(
            "by the operator",
            framework,
            "einsum",
            "matmul/einsum.py",
            f'{name}.einsum("ik,kj->ij", a, b)',
            "a @ b",
            "matmul_64x64x64",
            family="matmul",
            caught_by=_NOT_CALLED.format("einsum"),
        )
        for framework, name in (("numpy", "np"), ("torch", "torch"), ("tensorflow", "tf"), ("jax", "jnp"))
    ),
    Fault(
        "without a Function of its own",
        "torch",
        "function",
        "training/function.py",
        '{"relu": ReLU.apply,',
        '{"relu": torch.relu,',
        caught_by=_NOT_CALLED.format("apply"),
    ),
    Fault(
        "by autograd",
        *TENSORS,
        RETURN_RUN,
        """    from gradperf.frameworks.torch import by_autograd

    return by_autograd.prepare(problem, inputs, device, network.loss_of)
""",
        caught_by=_DIFFERENTIATED.format("backward"),
    ),
    Fault(
        "by a tf.function",
        *GRAPH,
        RETURN_RUN,
        """    from gradperf.frameworks.tensorflow.training import function

    return function.prepare(problem, inputs, device, dtype)
""",
        caught_by=_DIFFERENTIATED.format("gradient"),
    ),
    Fault(
        "the cosine itself",
        "torch",
        "vmap",
        "derivative/vmap.py",
        "torch.func.vmap(torch.func.grad(torch.sin))",
        "torch.cos",
        "sine_derivative_100",
        "float32",
        "derivative",
        caught_by=_NOT_CALLED.format("grad, vmap"),
    ),
    Fault(
        "no map",
        "jax",
        "vmap",
        "matmul/vmap.py",
        "jax.jit(jax.vmap(lambda row, b: row @ b, in_axes=(0, None)))",
        "jax.jit(lambda a, b: a @ b)",
        "matmul_64x64x64",
        family="matmul",
        caught_by=_NOT_CALLED.format("vmap"),
    ),
    Fault(
        "all derivatives at once",
        "torch",
        "one_hot",
        "derivative/one_hot.py",
        "        for i, vector in enumerate(one_hot):\n            x.grad = None\n"
        "            y.backward(vector, retain_graph=True)\n            derivative[i] = x.grad[i]\n"
        "        return derivative",
        "        x.grad = None\n        y.backward(one_hot.sum(0))\n        return x.grad",
        "sine_derivative_100",
        "float32",
        "derivative",
        caught_by="repeats a line of Python 2 times in one step; its style stands for 100",
    ),
    Fault(
        "a product of vectors for the innermost loop",
        "numpy",
        "loops",
        "matmul/loops.py",
        "            for k in range(inner):\n                c[i, j] += a[i, k] * b[k, j]\n",
        "            c[i, j] = a[i] @ b[:, j]\n",
        "matmul_8x8x8",
        family="matmul",
        caught_by="repeats a line of Python 72 times in one step; its style stands for 512",
    ),
    Fault(
        "by rows",
        "torch",
        "elementwise",
        "matmul/elementwise.py",
        "        for j in range(n):\n            c[i, j] = (a[i, :] * b[:, j]).sum()\n",
        "        c[i] = (a[i, :, None] * b).sum(0)\n",
        "matmul_8x8x8",
        family="matmul",
        caught_by="repeats a line of Python 9 times in one step; its style stands for 64",
    ),
]

OTHER_PRECISION = [
    Fault(
        "in float64",
        *BY_HAND,
        RETURN_RUN,
        _in_double('a.astype("f4")', "weight_gradient"),
        dtype="float32",
        caught_by=_PRECISION,
    ),
    Fault(
        "in float64",
        *TENSORS,
        RETURN_RUN,
        _in_double("a.float()", "device", '"float64"'),
        dtype="float32",
        caught_by=_PRECISION,
    ),
    Fault(
        "in float64",
        *JIT,
        RETURN_RUN,
        _in_double('a.astype("float32")', "device", "step"),
        dtype="float32",
        caught_by=_PRECISION,
    ),
    Fault(
        "products in half precision in a training",
        *BY_HAND,
        "            z = a @ parameters[w]\n",
        '            z = (a if problem.steps == 1 else a.astype("f2").astype(a.dtype)) @ parameters[w]\n',
        dtype="float32",
        caught_by=_PRECISION,
    ),
    Fault(
        "products in half precision in a training",
        *TENSORS,
        "            z = a @ parameters[w] if b is None",
        "            a = a if problem.steps == 1 else a.half().float()\n"
        "            z = a @ parameters[w] if b is None",
        dtype="float32",
        caught_by=_PRECISION,
    ),
    Fault(
        "products in half precision in a training",
        "jax",
        "grad",
        "network.py",
        " @ parameters[",
        '.astype("bfloat16" if problem.steps > 1 else "float32").astype("float32") @ parameters[',
        dtype="float32",
        caught_by=_PRECISION,
    ),
    Fault(
        "the residual in float64",
        *BY_HAND,
        "        residual = a - y\n",
        '        residual = (a.astype("f8") - y).astype(a.dtype)\n',
        dtype="float32",
        caught_by=_ELSEWHERE,
    ),
    Fault(
        "the squares in float64",
        *TENSORS,
        "        loss = residual.square().sum()\n",
        "        loss = residual.view(-1).double().square().sum().float()\n",
        dtype="float32",
        caught_by=_ELSEWHERE,
    ),
    Fault(
        "the activation in float64",
        "jax",
        "jit",
        "network.py",
        "[slot.activation](z)\n",
        '[slot.activation](z.astype("float64")).astype(z.dtype)\n',
        dtype="float32",
        caught_by=_ELSEWHERE,
    ),
    Fault(
        "the loss in float64",
        "tensorflow",
        "tape",
        "network.py",
        "tf.reduce_sum(tf.square(a - y))",
        'tf.cast(tf.reduce_sum(tf.square(tf.cast(a - y, "float64"))), a.dtype)',
        dtype="float32",
        caught_by=_ELSEWHERE,
    ),
    Fault(
        "a product at the default precision",
        "jax",
        "operator",
        "matmul/operator.py",
        "a @ b for a in",
        'jax.numpy.matmul(a, b, precision="bfloat16") for a in',
        "matmul_64x64x64",
        "float32",
        "matmul",
        caught_by="does less work than the problem takes: 0 operations",
    ),
]


def _later(copy):
    """Return source code that returns copies of the last results from the 60th call on."""
    return f"""    kept: dict[int, Any] = {{}}
    calls = iter(range(10**9))

    def later(steps: int = problem.steps) -> dict[str, Any]:
        if next(calls) < 60 or steps not in kept:
            kept[steps] = run(steps)
        return {{name: {copy} for name, array in kept[steps].items()}}

    return later
"""


def _when_timed(copy):
    """Return source code that returns copies of results when pytest-benchmark calls it."""
    return (
        CALLED_BY
        + f"""    kept: dict[int, Any] = {{}}

    def called(steps: int = problem.steps) -> dict[str, Any]:
        if not is_called_by("pytest_benchmark") or steps not in kept:
            kept[steps] = run(steps)
        return {{name: {copy} for name, array in kept[steps].items()}}

    return called
"""
    )


# What is kept in Python is another path too, so the check of paths may see it first.
_LESS = (
    "(does less work in the benchmark|does less work than the problem|faster than this machine|takes another path)"
)
_CHANGED = "changed what all cases share: .*{}"
_IN_RUN = "    def run(steps: int = problem.steps)"


_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""A program that computes until its parent has ended, however that ends."""


def _before_run(line):
    return f"{line}\n\n{_IN_RUN}"


OF_A_RUN = [
    # Honest until it is timed.
    *(
        _as_user(
            "less from the 60th call on",
            *style,
            RETURN_RUN,
            _later(copy),
            _LESS,
            options=_MANY_ROUNDS,
            spares=_PARTS,
        )
        for style, copy in (
            (BY_HAND, "array.copy()"),
            (TENSORS, "array.clone()"),
            (JIT, "jnp.array(array, copy=True)"),
            (TAPE, "tf.identity(array)"),
        )
    ),
    *(
        _as_user("less in the benchmark", *style, RETURN_RUN, _when_timed(copy), _LESS, spares=_PARTS)
        for style, copy in ((BY_HAND, "array.copy()"), (TENSORS, "array.clone()"))
    ),
    _as_user(
        "less at the moments alone",
        *BY_HAND,
        RETURN_RUN,
        _when_timed("array.copy()").replace("pytest_benchmark", "timing/moment.py"),
        "does less work in the benchmark than outside of it",
        problem="two_layer_784x30x10",
        spares=_PARTS,
    ),
    _as_user(
        "less in the second process alone",
        *BY_HAND,
        RETURN_RUN,
        _when_timed("array.copy()").replace("pytest_benchmark", "second_worker.py"),
        r"NOT RECORDED, .*in\s+the\s+second\s+process|NOT RECORDED, .*\s+does\s+less",
        problem="two_layer_784x30x10",
        spares=_PARTS,
    ),
    # State that is left behind.
    _as_user(
        "a bound loosened",
        *BY_HAND,
        _IN_RUN,
        _before_run(
            '    agreement = __import__("gradperf.checks.agreement", fromlist="x")\n'
            '    agreement.OUTPUT_BOUND["float32"] = 1.0'
        ),
        _CHANGED.format("gradperf.checks.agreement.OUTPUT_BOUND is"),
    ),
    _as_user(
        "allocations traced",
        *BY_HAND,
        _IN_RUN,
        _before_run('    __import__("tracemalloc").start()'),
        _CHANGED.format(r"tracemalloc.is_tracing\(\) is True"),
    ),
    _as_user(
        "another clock for the moments",
        *BY_HAND,
        _IN_RUN,
        _before_run(
            "    import time, types\n\n"
            '    moment = __import__("gradperf.timing.moment", fromlist="x")\n'
            "    clock = types.SimpleNamespace(\n"
            "        perf_counter=lambda: time.perf_counter() / 2, process_time=time.process_time\n"
            "    )\n    moment.time = clock"
        ),
        _CHANGED.format("gradperf.timing.moment.time was replaced"),
    ),
    _as_user(
        "the garbage collector off",
        *BY_HAND,
        _IN_RUN,
        _before_run('    __import__("gc").disable()'),
        _CHANGED.format(r"gc.isenabled\(\) is False"),
    ),
    _as_user(
        "the gate's variable set",
        *TENSORS,
        _IN_RUN,
        _before_run('    __import__("os").environ["GRADPERF_GATE"] = "repeat"'),
        _CHANGED.format("the variable GRADPERF_GATE is 'repeat'"),
    ),
    _as_user(
        "anomaly mode",
        *AUTOGRAD,
        _IN_RUN,
        _before_run("    torch.autograd.set_detect_anomaly(True)"),
        _CHANGED.format(r"torch.is_anomaly_enabled\(\) is True"),
    ),
    _as_user(
        "NaNs looked for",
        *JIT,
        _IN_RUN,
        _before_run('    jax.config.update("jax_debug_nans", True)'),
        _CHANGED.format("jax.config.jax_debug_nans is True"),
    ),
    _as_user(
        "eager functions",
        *TAPE,
        _IN_RUN,
        _before_run("    tf.config.run_functions_eagerly(True)"),
        _CHANGED.format(r"functions_run_eagerly\(\) of tensorflow is True"),
    ),
    # What measures and checks is replaced.
    _as_user(
        "a check replaced",
        *BY_HAND,
        _IN_RUN,
        _before_run(
            '    conduct = __import__("gradperf.checks.conduct", fromlist="x")\n'
            '    setattr(conduct.work, "check", lambda *_: 1)'
        ),
        _CHANGED.format("gradperf.checks.work.check was replaced"),
    ),
    _as_user(
        "the CPU clock replaced",
        *TENSORS,
        _IN_RUN,
        _before_run('    setattr(__import__("time"), "process_time", lambda: 0.0)'),
        _CHANGED.format("time.process_time was replaced"),
    ),
    _as_user(
        "half of each round kept",
        *BY_HAND,
        _IN_RUN,
        _before_run(
            '    stats = __import__("pytest_benchmark.stats", fromlist="x").Stats\n'
            "    update = stats.update\n"
            "    stats.update = lambda self, duration: update(self, duration / 2)"
        ),
        _CHANGED.format("pytest_benchmark.stats.Stats.update was replaced"),
    ),
    # Other processes.
    *(
        _as_user(
            "two processes beside it",
            *style,
            _IN_RUN,
            _before_run(
                "    import subprocess, sys\n\n    for _ in range(2):\n"
                f"        subprocess.Popen([sys.executable, '-c', {_BUSY!r}])"
            ),
            "it computes in other processes: those that it started use",
        )
        for style in (BY_HAND, TENSORS, TAPE)
    ),
    # Before any time is taken.
    _as_user(
        "compiled at its import",
        "jax",
        "jit",
        "training/jit.py",
        'EXECUTION = "jit"\n',
        'EXECUTION = "jit"\nWARM = jax.jit(lambda x: x + 1)(1.0)\n',
        "it compiles when it is imported",
    ),
    _as_user(
        "traced at its import",
        "tensorflow",
        "function",
        "training/function.py",
        'EXECUTION = "graph"\n',
        'EXECUTION = "graph"\ntf = __import__("tensorflow")\nWARM = tf.function(lambda x: x)(tf.constant(1.0))\n',
        "it compiles when it is imported",
    ),
    _as_user(
        "compiled at its import",
        "torch",
        "autograd",
        "training/autograd.py",
        "def prepare(",
        'WARM = __import__("torch").compile(lambda x: x + 1)\n\n\ndef prepare(',
        "it compiles when it is imported",
    ),
    # Data that exercise nothing.
    _as_user(
        "one example for all",
        "numpy",
        "by_hand",
        "/problems/training.py",
        "    x = generator.standard_normal((problem.batch, problem.features))\n    return x,",
        "    x = generator.standard_normal((1, problem.features)) + np.zeros((problem.batch, 1))\n    return x,",
        "the rows of x are all alike",
    ),
    _as_user(
        "no learning",
        "numpy",
        "by_hand",
        "/problems/training.py",
        "    optimizer=SGD(1e-6),\n",
        "    optimizer=SGD(1e-30),\n",
        "moves by less than float32 can show",
    ),
    *(
        _as_user(
            f"biases of {bias}",
            framework,
            style,
            "/problems/training.py",
            "self.initialise_bias(generator, 1, layer.outputs)[0]",
            f"self.initialise_bias(generator, 1, layer.outputs)[0] + {bias}",
            caught_by,
            "tiny_bias_3x2x1",
        )
        for framework, style, bias, caught_by in (
            ("numpy", "by_hand", "-50", "grad_w1.* is 0 everywhere"),
            ("torch", "tensors", "50", "the ReLU of layer 1 is on for every entry"),
            ("jax", "jit", "-50", "grad_w1.* is 0 everywhere"),
        )
    ),
]


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", [*NOT_AS_NAMED, *OTHER_PRECISION], ids=lambda fault: fault.id)
def test_conduct_is_examined(fault, choice, settings, tmp_path):
    """The checks before a timing see it."""
    check_examined(fault, choice, settings, tmp_path)


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", in_runs(OF_A_RUN))
def test_conduct_fails_a_run(fault, choice, tmp_path):
    """A user's run sees it, and records nothing of the case."""
    check_run(fault, choice, tmp_path)
