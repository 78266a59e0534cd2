"""Faults of measurement: the numbers are right, or nearly right, but the time would not measure the work.

Each is one wrong line, caught by a check before or after the timing. Faults of a style are planted in this
process. Faults that change a process, its threads, its arithmetic or its clock are planted in a copy of the whole
package, which runs as a user runs it.

A busy machine cannot hide a fault. If only times show a fault, it changes them by a factor of ten or more, or it is
planted while its CPUs are free.
"""

from dataclasses import dataclass, replace

import pytest

from correctness.planted import (
    Fault,
    check_caught,
    check_examined,
    check_run,
    planted_package,
    recorded,
    skip_unless_chosen,
    skip_unless_possible,
    time_case,
)

BY_HAND = ("numpy", "by_hand", "backprop.py")
INPLACE = ("numpy", "by_hand_inplace", "training/by_hand_inplace.py")
OUTER = ("numpy", "outer_product", "backprop.py")
TENSORS = ("torch", "tensors", "training/tensors.py")
AUTOGRAD = ("torch", "autograd", "by_autograd.py")
TORCH_NETWORK = ("torch", "autograd", "network.py")
TAPE = ("tensorflow", "tape", "by_tape.py")
TF_NETWORK = ("tensorflow", "tape", "network.py")
GRAPH = ("tensorflow", "graph", "training/graph.py")
JIT = ("jax", "jit", "stepwise.py")
SCAN = ("jax", "scan", "training/scan.py")
JAX_NETWORK = ("jax", "grad", "network.py")

_RUN = "    return run\n"
_CACHED = "    import functools\n\n    return functools.cache(run)\n"
_OVERWRITTEN = "was not computed again: what the caller wrote there came back"
_KEPT = "was not computed again but kept from the call before"
_LESS = "does less work than the problem takes: {} operations in matrix products counted in {} steps"
_OFF = "after 50 steps the outputs are off by"
_MORE = "does more work than the problem takes: {} operations in matrix products counted in 50 steps"
_NOT_DECLARED = "does not make the products of its style"
_INPUT_GRADIENT = _MORE.format("153,600")
_BY_NUMPY = """    from gradperf.frameworks.numpy.training import by_hand

    return by_hand.prepare(problem, inputs, device, dtype)
"""


def copies_of_the_first(copy):
    """Return source code that returns copies of the first call's results at every call."""
    return f"""    kept: dict[str, Any] = {{}}

    def once(steps: int = problem.steps) -> dict[str, Any]:
        if not kept:
            kept.update(run(steps))
        return {{name: {copy} for name, array in kept.items()}}

    return once
"""


FAULTS = [
    # Computed at the first call alone.
    Fault("kept from the last call", *BY_HAND, _RUN, _CACHED, caught_by=_OVERWRITTEN),
    Fault("kept from the last call", *TENSORS, _RUN, _CACHED, caught_by=_OVERWRITTEN),
    Fault("kept from the last call", *GRAPH, _RUN, _CACHED, caught_by=_OVERWRITTEN),
    Fault("kept from the last call", *TAPE, _RUN, _CACHED, caught_by=_KEPT),
    Fault("kept from the last call", *JIT, _RUN, _CACHED, caught_by=_KEPT),
    Fault(
        "kept from the last call",
        *SCAN,
        "    return lambda steps=problem.steps: jax.block_until_ready(train(initial, x, y, steps))\n",
        """    import functools

    return functools.cache(lambda steps=problem.steps: jax.block_until_ready(train(initial, x, y, steps)))
""",
        caught_by=_KEPT,
    ),
    Fault(
        "copies of the first call",
        *BY_HAND,
        _RUN,
        # By a list, which is slow enough that the machine's speed alone would not reveal it.
        copies_of_the_first("np.array(array.tolist(), array.dtype)"),
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "copies of the first call",
        *AUTOGRAD,
        _RUN,
        copies_of_the_first("torch.tensor(array.tolist(), dtype=array.dtype)"),
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "copies of the first call",
        *TAPE,
        _RUN,
        copies_of_the_first("tf.identity(array)"),
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "copies of the first call",
        *JIT,
        _RUN,
        copies_of_the_first("jnp.array(array, copy=True)"),
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "copies of the first call, uncounted",
        *OUTER,
        _RUN,
        copies_of_the_first("array.copy()"),
        "two_layer_784x30x10",
        in_seconds=True,
        caught_by=f"(faster than this machine|{_NOT_DECLARED})",
    ),
    Fault(
        "copies of the first call, uncounted",
        *GRAPH,
        _RUN,
        copies_of_the_first("array.copy()"),
        "two_layer_1000x100x10",
        "float32",
        in_seconds=True,
        caught_by="faster than this machine",
    ),
    # Styles that are not counted make other products than they declare.
    Fault(
        "a matrix product after all",
        "numpy",
        "loops",
        "matmul/loops.py",
        "product(a, b) for a in left",
        "a @ b for a in left",
        "matmul_8x8x8",
        family="matmul",
        caught_by=_NOT_DECLARED,
    ),
    Fault(
        "a matrix product after all",
        "torch",
        "elementwise",
        "matmul/elementwise.py",
        "product(a, b) for a in left",
        "torch.mm(a, b) for a in left",
        "matmul_8x8x8",
        family="matmul",
        caught_by=_NOT_DECLARED,
    ),
    Fault(
        "a matrix product after all",
        "tensorflow",
        "broadcast",
        "matmul/broadcast.py",
        '"product", product',
        '"product", tf.linalg.matmul',
        "matmul_8x8x8",
        family="matmul",
        caught_by=_NOT_DECLARED,
    ),
    Fault(
        "the weight gradient as a product",
        "numpy",
        "outer_product",
        "training/outer_product.py",
        "(a[:, :, None] * delta[:, None, :]).sum(axis=0)",
        "a.T @ delta",
        caught_by=_NOT_DECLARED,
    ),
    Fault("computed by numpy", *GRAPH, _RUN, _BY_NUMPY, caught_by="made by numpy"),
    Fault(
        "computed by numpy", "tensorflow", "keras", "training/keras.py", _RUN, _BY_NUMPY, caught_by="made by numpy"
    ),
    # A branch that is never taken stands for the work.
    Fault(
        "kept, beside a branch with the work",
        *JIT,
        _RUN,
        """    kept = run(problem.steps)
    either = jax.jit(lambda x: jax.lax.cond(x.sum() > 1e30, lambda: run(problem.steps), lambda: kept))
    return lambda steps=problem.steps: jax.block_until_ready(either(x) if steps == problem.steps else run(steps))
""",
        caught_by=_LESS.format(0, 50),
    ),
    # Carried over between calls.
    Fault(
        "weights reset in the first two calls alone",
        *INPLACE,
        """    def run(steps: int = problem.steps) -> dict[str, Any]:
        for parameter, start in zip(step.parameters, initial, strict=True):
""",
        """    calls = itertools.count()

    def run(steps: int = problem.steps) -> dict[str, Any]:
        for parameter, start in zip(step.parameters, initial, strict=True) if next(calls) < 2 else ():
""",
        caught_by=_OVERWRITTEN,
    ),
    Fault(
        "trained on from the second call",
        *TENSORS,
        "        parameters = [parameter.clone() for parameter in initial]\n        update",
        "        parameters = initial\n        update",
        caught_by="of the second call disagrees",
    ),
    # Work left out, and unneeded work.
    Fault(
        "every other gradient left out",
        *BY_HAND,
        "            gradients = backward(parameters, tape)\n            update",
        "            if t % 2 == 0:\n                gradients = backward(parameters, tape)\n            update",
        "tiny_3x2x1",
        "float32",
        caught_by=_LESS.format("83,200", 50),
    ),
    Fault(
        "the last step guessed from the one before",
        *BY_HAND,
        "            losses[t], tape = forward(parameters)\n",
        """            if 0 < t == steps - 1:
                losses[t] = losses[t - 1]
                update(parameters, gradients)
                break
            losses[t], tape = forward(parameters)
""",
        "tiny_3x2x1",
        "float32",
        caught_by=_OFF,
    ),
    Fault(
        "every other gradient left out",
        *TENSORS,
        "            gradients = backward(parameters, tape)\n            update",
        "            if not len(losses) % 2:\n"
        "                gradients = backward(parameters, tape)\n"
        "            update",
        "tiny_3x2x1",
        "float32",
        caught_by=_LESS.format("83,200", 50),
    ),
    Fault(
        "every other step left out",
        *TAPE,
        """    def step(x: Any, y: Any) -> tuple[Any, list[Any]]:
""",
        """    def step(x: Any, y: Any, kept: list[Any] = []) -> tuple[Any, list[Any]]:
        if kept:
            loss, gradients = kept.pop()
            update(gradients)
            return loss, []
        loss, gradients = differentiated(x, y)
        update(gradients)
        kept.append((loss, gradients))
        return loss, []

    def differentiated(x: Any, y: Any) -> tuple[Any, list[Any]]:
        loss, tape = taped(problem, loss_of, parameters, x, y)
        return loss, tape.gradient(loss, sources(problem, parameters, x))

    def unused(x: Any, y: Any) -> tuple[Any, list[Any]]:
""",
        "tiny_3x2x1",
        "float32",
        caught_by=_OFF,
    ),
    Fault(
        "the last step guessed from all others",
        *SCAN,
        """        (parameters, _), (losses, gradients) = jax.lax.scan(body, start, length=steps)
""",
        """        done = max(1, steps - 1)
        (trained, _), (losses, gradients) = jax.lax.scan(body, start, length=done)
        if done < steps:
            trained = [p + (p - q) / done for p, q in zip(trained, parameters, strict=True)]
            losses = jax.numpy.append(losses, losses[-1])
        parameters = trained
""",
        "tiny_3x2x1",
        "float32",
        caught_by=_OFF,
    ),
    Fault(
        "a step too many, thrown away",
        *BY_HAND,
        "        return problem.outputs(losses, parameters, gradients)",
        "        backward(parameters, forward(parameters)[1])\n"
        "        return problem.outputs(losses, parameters, gradients)",
        caught_by=_MORE.format("117,504"),
    ),
    Fault(
        "a step too many, thrown away",
        *AUTOGRAD,
        "        return synchronized(problem.outputs(torch.stack(losses)",
        "        loss_of(parameters).backward()\n        return synchronized(problem.outputs(torch.stack(losses)",
        caught_by=_MORE.format("117,504"),
    ),
    Fault(
        "a step too many, thrown away",
        *SCAN,
        "        start = (parameters, network",
        "        jax.lax.scan(body, (parameters, network.start(problem, initial)), length=1)\n"
        "        start = (parameters, network",
        caught_by=_MORE.format("117,504"),
    ),
    Fault(
        "a forward pass too many, thrown away",
        *TAPE,
        "            trained = [",
        "            taped(problem, loss_of, parameters, x, y)\n            trained = [",
        caught_by=_MORE.format("116,224"),
    ),
    Fault(
        "every product computed twice",
        "numpy",
        "operator",
        "matmul/operator.py",
        "[a @ b for a in left[:steps]]",
        "[(a @ b, a @ b)[0] for a in left[:steps]]",
        "matmul_5x784x10",
        "float32",
        "matmul",
        caught_by="does more work than the problem takes",
    ),
    # The gradient by the first layer's input, which no training uses: half as much work again.
    Fault("input gradient", *BY_HAND, "if layer > 0:", "if layer >= 0:", caught_by=_INPUT_GRADIENT),
    Fault(
        "input gradient",
        *INPLACE,
        "            if number > 0:\n",
        "            if number == 0:\n"
        "                backward.append(_product(layer_delta, w.T, np.empty_like(a)))\n"
        "            if number > 0:\n",
        caught_by=_INPUT_GRADIENT,
    ),
    Fault(
        "input gradient",
        "torch",
        "layers",
        "training/layers.py",
        "wanted = problem.input_gradient or bool(self.linears)",
        "wanted = True",
        caught_by=_INPUT_GRADIENT,
    ),
    Fault(
        "input gradient",
        *TORCH_NETWORK,
        ".requires_grad_(problem.input_gradient)",
        ".requires_grad_()",
        caught_by=_INPUT_GRADIENT,
    ),
    Fault(
        "input gradient",
        *TAPE,
        "        if problem.input_gradient:\n            tape.watch(x)",
        "        tape.watch(x)",
        caught_by=_INPUT_GRADIENT,
    ),
    Fault(
        "input gradient",
        *JAX_NETWORK,
        "        return jax.value_and_grad(loss_of(problem))",
        """        both = jax.value_and_grad(loss_of(problem), argnums=(0, 1))

        def by_parameters(parameters: Any, x: jax.Array, y: jax.Array) -> Any:
            loss, gradients = both(parameters, x, y)
            return loss, gradients[0]

        return by_parameters""",
        "two_steps",
        caught_by="does more work than the problem takes: 6,144 operations",
    ),
    # Compiled inside the timed part.
    Fault(
        "torch.compile at every step",
        *TENSORS,
        "            loss, tape = forward(parameters)\n            gradients = backward",
        # A backend without C++, which would take seconds to compile.
        "            loss, tape = torch.compile(forward, backend='eager')(parameters)\n"
        "            gradients = backward",
        caught_by="compiles inside the timed part, 50 times in one call: torch.compile was called",
    ),
    Fault(
        "a new tf.function in every call",
        *TAPE,
        "            losses = []\n",
        "            losses, call = [], tf.function(step, autograph=False)\n",
        caught_by="compiles inside the timed part, 1 times in one call: a function was traced",
    ),
    Fault(
        "a new jax.jit in every call",
        *JIT,
        """        for _ in range(steps):
            parameters, state, loss, gradients = step(""",
        """        anew = jax.jit(lambda *arguments: step(*arguments))
        for _ in range(steps):
            parameters, state, loss, gradients = anew(""",
        caught_by="compiles inside the timed part, .*backend_compile",
    ),
    # Other numbers under the same name.
    Fault(
        "float32 inside float64",
        *TORCH_NETWORK,
        "torch.addmm(parameters[b], a, parameters[w])",
        "torch.addmm(parameters[b].float(), a.float(), parameters[w].float()).double()",
        caught_by="√losses of the first call disagrees",
    ),
    Fault(
        "float32 inside float64",
        *TF_NETWORK,
        "            z = a @ parameters[w]\n",
        '            z = tf.cast(tf.cast(a, "float32") @ tf.cast(parameters[w], "float32"), "float64")\n',
        caught_by="√losses of the first call disagrees",
    ),
    Fault(
        "data of another seed",
        *TORCH_NETWORK,
        '    x = from_numpy(inputs["x"], device)',
        '    inputs = problem.inputs(1, inputs["x"].dtype.name)\n    x = from_numpy(inputs["x"], device)',
        caught_by="√losses of the first call disagrees",
    ),
    Fault(
        "data of another seed",
        *JAX_NETWORK,
        "    parameters = [from_numpy(inputs[name]",
        '    inputs = problem.inputs(1, inputs["x"].dtype.name)\n    parameters = [from_numpy(inputs[name]',
        caught_by="√losses of the first call disagrees",
    ),
    Fault(
        "examples in another order",
        "numpy",
        "by_hand",
        "runtime.py",
        "    return array\n\n\ndef to_numpy",
        "    return array[::-1]\n\n\ndef to_numpy",
        caught_by="inputs changed on the way through numpy",
    ),
    Fault(
        "examples in another order",
        "torch",
        "autograd",
        "runtime.py",
        "torch.tensor(array, device=device)",
        "torch.tensor(array[::-1].copy(), device=device)",
        caught_by="inputs changed on the way through torch",
    ),
    # Returned before it is done.
    Fault(
        "filled by a thread when the call is over",
        *BY_HAND,
        _RUN,
        """    import threading

    def later(steps: int = problem.steps) -> dict[str, Any]:
        outputs = run(steps)
        pending = {name: np.full_like(array, np.nan) for name, array in outputs.items()}

        def fill() -> None:
            for name, array in outputs.items():
                pending[name][...] = array

        timer = threading.Timer(10.0, fill)
        timer.daemon = True
        timer.start()
        return pending

    return later
""",
        caught_by="losses of the first call holds a number that is not a sum of squares: nan",
    ),
    Fault(
        "computed when the results are looked at",
        *BY_HAND,
        _RUN,
        """    class Later(dict[str, Any]):
        def __init__(self, steps: int = problem.steps) -> None:
            super().__init__()
            self.steps = steps

        def items(self) -> Any:
            if not self:
                self.update(run(self.steps))
            return super().items()

        def values(self) -> Any:
            self.items()
            return super().values()

        def __getitem__(self, name: str) -> Any:
            self.items()
            return super().__getitem__(name)

    return Later
""",
        "two_layer_784x30x10",
        caught_by="does less work|faster than this machine|its results were ready",
    ),
    Fault(
        "asynchronous execution, not waited for",
        "tensorflow",
        "operator",
        "single.py",
        "    def run(steps: int | None = None) -> dict[str, Any]:\n        with on(device):\n",
        """    from tensorflow.python.eager import context, executor

    later = executor.new_executor(True)

    def run(steps: int | None = None) -> dict[str, Any]:
        with context.executor_scope(later), on(device):
""",
        "matmul_256x256x256",
        "float64",
        "matmul",
        in_seconds=True,
        caught_by="the call returned after .* ms, and its results were ready .* ms later",
    ),
    # More threads than were asked for.
    Fault(
        "threads that compute along",
        *BY_HAND,
        _RUN,
        """    import hashlib
    import threading

    def along(steps: int = problem.steps) -> dict[str, Any]:
        data, stop = bytes(2**20), threading.Event()

        def work() -> None:
            while not stop.is_set():
                hashlib.sha256(data).digest()  # without the interpreter's lock

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        try:
            return run(steps)
        finally:
            stop.set()
            for worker in workers:
                worker.join()

    return along
""",
        "two_layer_784x30x10",
        cpus=2,
        in_seconds=True,
        caught_by="--threads 1 is not honoured: it uses .* CPU seconds per second",
    ),
]

_PROBLEMS = "problems/training.py"
_PRODUCTS = '    return lambda steps=None: {"product": [a @ b for a in left[:steps]]}\n'
_PHASES = ("test_forward", "test_backward")
_TWO_THREADS = ("--threads", "2")
_MANY_ROUNDS = ("--benchmark-min-rounds=100",)
_TINY = "tiny_3x2x1"
_SINCE_TIMED = """    import sys

    timed = []

    def has_begun():  # pytest-benchmark times in its function "runner"
        caller = sys._getframe()
        while caller is not None and caller.f_code.co_name != "runner":
            caller = caller.f_back
        timed.extend([True] if caller is not None else [])
        return bool(timed)
"""
_NOT_RECORDED = r"NOT RECORDED, .*\s+tiny_3x2x1-numpy\.by_hand-cpu-float32:\s+√losses\s+of\s+the\s+"
_WRONG_WITHIN = """    import sys

    def later(steps: int = problem.steps) -> dict[str, Any]:
        outputs, caller = run(steps), sys._getframe()
        while caller is not None and caller.f_code.co_name != "{function}":
            caller = caller.f_back
        if caller is not None:
            outputs["losses"] *= 2
        return outputs

    return later
"""

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
        _RUN,
        _SINCE_TIMED
        + """
    kept: dict[str, Any] = {}

    def once(steps: int = problem.steps) -> dict[str, Any]:
        if not has_begun():
            kept.update(run(steps))
        return {name: array.copy() for name, array in kept.items()}

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
        if not has_begun():
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
        _RUN,
        """    kept: dict[int, dict[str, Any]] = {}

    def once(steps: int = problem.steps) -> dict[str, Any]:
        if steps not in kept:
            kept[steps] = run(steps)
        return kept[steps] if steps < problem.steps else run(steps)

    return once
""",
        "two_layer_784x30x10",
        spares=_PHASES,
        caught_by=_OVERWRITTEN,
    ),
    Fault(
        "copies of the first call of each length",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        _RUN,
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
        _RUN,
        _WRONG_WITHIN.format(function="_take_all"),
        _TINY,
        spares=_PHASES,
        caught_by=_NOT_RECORDED + r"call\s+after\s+the\s+timed\s+ones",
    ),
    Fault(
        "an error at a later moment",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        _RUN,
        _WRONG_WITHIN.format(function="_take_all").replace(
            'outputs["losses"] *= 2', 'raise MemoryError("of all things")'
        ),
        _TINY,
        spares=_PHASES,
        caught_by=r"NOT RECORDED, .*\s+tiny_3x2x1-numpy\.by_hand-cpu-float32: +MemoryError: of all things",
    ),
    Fault(
        "wrong at a moment in the second process",
        "numpy",
        "by_hand",
        "frameworks/numpy/backprop.py",
        _RUN,
        _WRONG_WITHIN.format(function="_moment"),
        _TINY,
        spares=_PHASES,
        caught_by=r"NOT RECORDED, .*\s+in\s+the\s+second\s+process:\s+tiny_3x2x1-numpy\.by_hand-cpu-float32:",
    ),
]


@dataclass(frozen=True)
class Clock:
    """A wrong clock, given as ``--benchmark-timer``."""

    what: str
    source: str
    caught_by: str
    options: tuple = ()
    problem: str = _TINY
    style: str = "by_hand"
    name: str = "clocks.clock"
    family: str = "training"
    framework = "numpy"
    cpus = 1
    in_seconds = False
    spares = ()


# The check reads it about 20,000 times; then each round reads it twice.
_AFTER_THE_CHECK = """import time

reads, last = 0, 0.0

def clock():
    global reads, last
    reads += 1
    now = time.perf_counter()
    if reads < 20_050:
        last = now
        return now
    return last + (now - last) * {speed}
"""

CLOCKS = [
    Clock(
        "milliseconds",
        "import time\n\ndef clock():\n    return time.perf_counter() * 1e3\n",
        "this clock does not count seconds: it moved by .* asleep",
    ),
    Clock("nanoseconds", "from time import perf_counter_ns as clock\n", "this clock does not count seconds"),
    Clock(
        "ten percent too fast",
        "import time\n\ndef clock():\n    return time.perf_counter() * 1.1\n",
        "this clock does not count seconds",
    ),
    Clock(
        "running backwards",
        "import time\n\ndef clock():\n    return -time.perf_counter()\n",
        "this clock goes back",
    ),
    Clock(
        "set back now and then",
        """import itertools
import time

reads = itertools.count()

def clock():
    return time.perf_counter() - next(reads) // 1000 * 1e-3
""",
        "this clock goes back",
    ),
    Clock(
        "CPU seconds, which stop while it waits",
        "from time import process_time as clock\n",
        "this clock does not count seconds: it moved by .* asleep",
    ),
    Clock(
        "time that stops at work",
        """import time

last = 0.0

def clock():
    global last
    last = max(last, time.perf_counter() - time.process_time())
    return last
""",
        "this clock does not count seconds: it moved by .* at work",
    ),
    Clock(
        "the time of day, which can be set back",
        "",
        "this clock can be set back",
        name="time.time",
    ),
    Clock(
        "the time of day under another name",
        "from time import time as clock\n",
        "this clock can be set back",
    ),
    Clock(
        "a thousand times too fast, once it was checked",
        _AFTER_THE_CHECK.format(speed="1e3"),
        "its rounds add up to",
        _MANY_ROUNDS,
    ),
    Clock(
        "twenty times too slow, once it was checked",
        _AFTER_THE_CHECK.format(speed="0.05"),
        "faster than this machine",
        (),
        "matmul_64x64x64",
        "operator",
        family="matmul",
    ),
]


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_fault_is_caught(fault, choice, settings, tmp_path):
    """The check fails on the faulty copy, with a message that states what is wrong."""
    check_examined(fault, choice, settings, tmp_path)


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", RUN_FAULTS, ids=lambda fault: fault.id)
def test_fault_fails_a_run(fault, choice, tmp_path):
    """A user's run of the faulty package fails, with a message, and records nothing of the case."""
    check_run(fault, choice, tmp_path)


@pytest.mark.planted_fault
@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: clock.what)
def test_clock_fails_a_run(clock, choice, tmp_path):
    """A user's run with a wrong clock fails, with a message, and records nothing of the case."""
    skip_unless_chosen(clock, choice)
    (tmp_path / "clocks.py").write_text(clock.source)
    check_caught(clock, tmp_path, *clock.options, f"--benchmark-timer={clock.name}")


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


def test_faults_are_enough_and_distinct():
    """There are at least 25 different faults, in every framework; each names the message of its check."""
    faults = FAULTS + RUN_FAULTS
    assert len({fault.id for fault in faults}) == len(faults) >= 25
    assert {fault.framework for fault in faults} == {"numpy", "torch", "tensorflow", "jax"}
    assert all(fault.caught_by for fault in [*faults, *CLOCKS])
