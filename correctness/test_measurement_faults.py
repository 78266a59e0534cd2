"""Faults of measurement: the numbers are right, or nearly right, but the time would not measure the work.

Each is one wrong line in a style, which a check before the timing catches. ``test_run_faults.py`` has those that
only a whole run shows.

A busy machine cannot hide a fault. If only times show a fault, it changes them by a factor of ten or more, or it is
planted while its CPUs are free.
"""

import pytest

from correctness.places import (
    AUTOGRAD,
    BY_HAND,
    GRAPH,
    INPLACE,
    JAX_NETWORK,
    JIT,
    OUTER,
    RETURN_RUN,
    SCAN,
    TAPE,
    TENSORS,
    TF_NETWORK,
    TORCH_NETWORK,
)
from correctness.planted import Fault, check_examined

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
    Fault("kept from the last call", *BY_HAND, RETURN_RUN, _CACHED, caught_by=_OVERWRITTEN),
    Fault("kept from the last call", *TENSORS, RETURN_RUN, _CACHED, caught_by=_OVERWRITTEN),
    Fault("kept from the last call", *GRAPH, RETURN_RUN, _CACHED, caught_by=_OVERWRITTEN),
    Fault("kept from the last call", *TAPE, RETURN_RUN, _CACHED, caught_by=_KEPT),
    Fault("kept from the last call", *JIT, RETURN_RUN, _CACHED, caught_by=_KEPT),
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
        RETURN_RUN,
        # By a list, which is slow enough that the machine's speed alone would not reveal it.
        copies_of_the_first("np.array(array.tolist(), array.dtype)"),
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "copies of the first call",
        *AUTOGRAD,
        RETURN_RUN,
        copies_of_the_first("torch.tensor(array.tolist(), dtype=array.dtype)"),
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "copies of the first call",
        *TAPE,
        RETURN_RUN,
        copies_of_the_first("tf.identity(array)"),
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "copies of the first call",
        *JIT,
        RETURN_RUN,
        copies_of_the_first("jnp.array(array, copy=True)"),
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "copies of the first call, uncounted",
        *OUTER,
        RETURN_RUN,
        copies_of_the_first("array.copy()"),
        "two_layer_784x30x10",
        in_seconds=True,
        caught_by=f"(faster than this machine|{_NOT_DECLARED})",
    ),
    Fault(
        "copies of the first call, uncounted",
        *GRAPH,
        RETURN_RUN,
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
    Fault("computed by numpy", *GRAPH, RETURN_RUN, _BY_NUMPY, caught_by=_LESS.format(0, 50)),
    Fault(
        "computed by numpy",
        "tensorflow",
        "keras",
        "training/keras.py",
        RETURN_RUN,
        _BY_NUMPY,
        caught_by=_LESS.format(0, 50),
    ),
    Fault(
        "the weight gradient as a product of plain views",
        "numpy",
        "outer_product",
        "training/outer_product.py",
        "(a[:, :, None] * delta[:, None, :]).sum(axis=0)",
        '(lambda plain: a.view(plain).T @ delta.view(plain))(__import__("numpy").ndarray)',
        caught_by=_NOT_DECLARED,
    ),
    Fault(
        "a matrix product after all",
        "jax",
        "broadcast",
        "matmul/broadcast.py",
        "jnp.stack([(row[:, None] * b).sum(axis=0) for row in a])",
        "a @ b",
        "matmul_8x8x8",
        family="matmul",
        caught_by=_NOT_DECLARED,
    ),
    Fault(
        "an input gradient that nothing uses",
        *GRAPH,
        "        updates = tf.group(update(gradients))\n",
        "        updates = tf.group(update(gradients), *tf.gradients(loss, [x]))\n",
        caught_by=_MORE.format("166,400"),
    ),
    Fault(
        "a prediction too many",
        "tensorflow",
        "keras",
        "training/keras.py",
        "[model.train_on_batch(x, y) for _ in range(steps)]",
        "[(model.predict_on_batch(x), model.train_on_batch(x, y))[1] for _ in range(steps)]",
        caught_by="does more work than the problem takes",
    ),
    Fault(
        "twenty products in a loop of unknown length",
        "jax",
        "jit",
        "matmul/jit.py",
        "jax.jit(lambda a, b: a @ b)",
        "jax.jit(lambda a, b: jax.lax.while_loop("
        "lambda s: s[0] < 20, lambda s: (s[0] + 1, a @ b), (0, 0 * (a @ b))"
        ")[1])",
        "matmul_64x64x64",
        family="matmul",
        caught_by="the operations in a while loop cannot be counted",
    ),
    # A branch that is never taken stands for the work.
    Fault(
        "kept, beside a branch with the work",
        *JIT,
        RETURN_RUN,
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
        caught_by="of the first call disagrees",
    ),
    Fault(
        "float32 inside float64",
        *TF_NETWORK,
        "            z = a @ parameters[w]\n",
        '            z = tf.cast(tf.cast(a, "float32") @ tf.cast(parameters[w], "float32"), "float64")\n',
        caught_by="of the first call disagrees",
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
        RETURN_RUN,
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
        RETURN_RUN,
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
        caught_by="the call returned a Later of the first call, not a dict",
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
        RETURN_RUN,
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


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_fault_is_caught(fault, choice, settings, tmp_path):
    """The check fails on the faulty copy, with a message that states what is wrong."""
    check_examined(fault, choice, settings, tmp_path)


def test_faults_are_enough_and_distinct():
    """There are at least 25 different faults, in every framework; each names the message of its check."""
    assert len({fault.id for fault in FAULTS}) == len(FAULTS) >= 25
    assert {fault.framework for fault in FAULTS} == {"numpy", "torch", "tensorflow", "jax"}
    assert all(fault.caught_by for fault in FAULTS)
