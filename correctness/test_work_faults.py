"""Faults of work that is no matrix product: it is done once, needlessly, later, or only when it is counted.

The numbers are right, and so are the products. Each is one wrong line.
"""

from dataclasses import replace

import pytest

from correctness.places import AUTOGRAD, BY_HAND, INPLACE, JAX_NETWORK, JIT, RETURN_RUN, TAPE, TENSORS, TF_NETWORK
from correctness.planted import Fault, check_examined, prepared
from gradperf.checks import agreement, conduct

_POLYNOMIAL = "polynomial_degree4"
_OFTEN = 20
_ONCE = "some is done once, and not at each step"
_CALLS = "does more work than the problem takes: it calls {}"
_MORE = "does more work than the problem takes: .* operations outside of matrix products"
_THREAD = "leaves work to a thread"
_WAITS = "it waits in"
_OTHER_PATH = "takes another path when it is counted than when it is timed"

_IN_FORWARD = """    def forward(parameters: list[Array]) -> tuple[Any, Any]:
        a = x if exponents is None else x**exponents
"""
_TENSORS_FORWARD = """    def forward(parameters: list[torch.Tensor]) -> Any:
        a = x if powers is None else x**powers
"""
_TF_LOSS = """    def loss(parameters: Tensors, x: Any, y: Any) -> Any:
        a = x if exponents is None else x**exponents
"""
_BACKWARD = """            loss.backward()
            gradients: list[Any] = [tensor.grad for tensor in differentiated]
            update"""
_JAX_POWERS = "jnp.concatenate([x**k for k in range(powers + 1)], axis=1)"

DONE_ONCE = [
    Fault(
        "powers computed beforehand",
        *BY_HAND,
        _IN_FORWARD,
        "    fixed = x if exponents is None else x**exponents\n\n"
        "    def forward(parameters: list[Array]) -> tuple[Any, Any]:\n        a = fixed\n",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
    Fault(
        "powers kept by identity",
        *BY_HAND,
        _IN_FORWARD,
        "    kept: dict[int, Array] = {}\n\n"
        "    def forward(parameters: list[Array]) -> tuple[Any, Any]:\n"
        "        if id(x) not in kept:\n            kept[id(x)] = x if exponents is None else x**exponents\n"
        "        a = kept[id(x)]\n",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
    Fault(
        "powers computed beforehand",
        *INPLACE,
        "self.forward.append(partial(np.multiply, rows[k - 1], column, rows[k]))",
        "np.multiply(rows[k - 1], column, rows[k])",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
    Fault(
        "powers computed once in each call",
        *INPLACE,
        "        for place in places[:steps]:\n            for call in step.forward:\n",
        "        for t, place in enumerate(places[:steps]):\n"
        "            for call in step.forward[(problem.powers - 1 if t else 0) :]:\n",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
    Fault(
        "powers computed beforehand",
        *TENSORS,
        _TENSORS_FORWARD,
        "    fixed = x if powers is None else x**powers\n\n"
        "    def forward(parameters: list[torch.Tensor]) -> Any:\n        a = fixed\n",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
    Fault(
        "powers kept from the first call",
        *JAX_NETWORK,
        f"        a = x if powers is None else {_JAX_POWERS}\n",
        f"        if not hasattr(loss, 'kept'):\n            loss.kept = x if powers is None else {_JAX_POWERS}\n"
        "        a = loss.kept\n",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
    Fault(
        "powers kept from the first call",
        *TF_NETWORK,
        _TF_LOSS,
        "    kept: list[Any] = []\n\n    def loss(parameters: Tensors, x: Any, y: Any) -> Any:\n"
        "        if not kept:\n            kept.append(x if exponents is None else x**exponents)\n"
        "        a = kept[0]\n",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
    Fault(
        "powers that the compiler moves out of the loop",
        "jax",
        "scan",
        "training/scan.py",
        "(parameters, state), x_now = jax.lax.optimization_barrier((carry, x))",
        "(parameters, state), x_now = carry, x",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
    Fault(
        "powers of a constant of the program",
        "jax",
        "jit",
        "training/jit.py",
        "jax.jit(network.step_of(problem))",
        "(lambda step, x: jax.jit(lambda p, s, _, y: step(p, s, x, y)))("
        "network.step_of(problem), network.on_device(problem, inputs, device)[1])",
        _POLYNOMIAL,
        caught_by=_ONCE,
    ),
]

NEEDLESS = [
    Fault(
        "twenty needless tanh",
        *BY_HAND,
        "            a = activation(z)\n",
        f"            a = activation(z)\n            for _ in range({_OFTEN}):\n                np.tanh(z)\n",
        caught_by=_CALLS.format("tanh"),
    ),
    Fault(
        "a clip that never triggers",
        *BY_HAND,
        "            a = activation(z)\n",
        "            a = np.clip(activation(z), -1e9, 1e9)\n",
        caught_by=_CALLS.format("clip"),
    ),
    Fault(
        "the same residual again",
        *BY_HAND,
        "        residual = a - y\n",
        f"        for _ in range({_OFTEN}):\n            residual = a - y\n",
        caught_by=_MORE,
    ),
    Fault(
        "a clip that never triggers",
        *TENSORS,
        "            a = activation(z)\n",
        "            a = activation(z).clamp(-1e9, 1e9)\n",
        caught_by=_CALLS.format("clip"),
    ),
    Fault(
        "zeros that are added",
        *TENSORS,
        "            a = activation(z)\n",
        f"            a = activation(z)\n            for _ in range({_OFTEN}):\n                a = a + 0\n",
        caught_by=_MORE,
    ),
    Fault(
        "a clip that never triggers",
        *JAX_NETWORK,
        "[slot.activation](z)\n",
        "[slot.activation](jnp.clip(z, -1e9, 1e9))\n",
        caught_by=_CALLS.format("clip"),
    ),
    Fault(
        "sines that are added and subtracted",
        *JAX_NETWORK,
        "[slot.activation](z)\n",
        "[slot.activation](z + jnp.sin(z) - jnp.sin(z))\n",
        caught_by=_CALLS.format("cos, sin"),
    ),
    Fault(
        "a clip that never triggers",
        *TF_NETWORK,
        "            z = a @ parameters[w]\n",
        "            z = tf.clip_by_value(a @ parameters[w], -1e9, 1e9)\n",
        caught_by=_CALLS.format("clip"),
    ),
    Fault(
        "a product with ones",
        *TF_NETWORK,
        "            z = a @ parameters[w]\n",
        f"            z = a @ parameters[w]\n            for _ in range({_OFTEN}):\n                z = z * 1\n",
        caught_by=_MORE,
    ),
    Fault(
        "a kept derivative",
        "numpy",
        "analytic",
        "derivative/analytic.py",
        '    points = list(inputs["x"])\n'
        '    return lambda steps=None: {"grad_x": [np.cos(x) for x in points[:steps]]}\n',
        '    points = [np.cos(x) for x in inputs["x"]]\n'
        '    return lambda steps=None: {"grad_x": [x + 0 for x in points[:steps]]}\n',
        "sine_derivative_100",
        family="derivative",
        caught_by="does less work than the problem takes: it does not call cos or sin",
    ),
    Fault(
        "all kept derivatives but one",
        "numpy",
        "analytic",
        "derivative/analytic.py",
        '    return lambda steps=None: {"grad_x": [np.cos(x) for x in points[:steps]]}\n',
        "    kept = [np.cos(x) for x in points]\n"
        '    return lambda steps=None: {"grad_x": [np.cos(points[0]), *(k.copy() for k in kept[1:steps])]}\n',
        "sine_derivative_100",
        family="derivative",
        caught_by="does less work than the problem takes: 100 operations outside of matrix products",
    ),
    Fault(
        "twenty needless copies",
        *BY_HAND,
        "        residual = a - y\n",
        f"        for _ in range({_OFTEN}):\n            x.copy()\n        residual = a - y\n",
        caught_by="does more work than the problem takes: .* entries copied",
    ),
    Fault(
        "a graph that nothing uses",
        *TENSORS,
        "        parameters = [parameter.clone() for parameter in initial]\n        update",
        "        parameters = [parameter.clone().requires_grad_() for parameter in initial]\n        update",
        caught_by="in one step it keeps .* arrays for gradients that it does not compute",
    ),
    Fault(
        "a graph of the backward pass",
        *AUTOGRAD,
        _BACKWARD,
        _BACKWARD.replace("backward()", "backward(create_graph=True)"),
        caught_by="in one step it keeps .* arrays for gradients that it does not compute",
    ),
    Fault(
        "numbers looked at",
        *TF_NETWORK,
        "            z = a @ parameters[w]\n",
        '            z = tf.debugging.check_numerics(a @ parameters[w], "z")\n',
        caught_by=_CALLS.format("checknumerics"),
    ),
    Fault(
        "numbers looked at",
        *JAX_NETWORK,
        "        return jnp.sum((a - y) ** 2) / problem.divisor\n",
        "        a = jnp.where(jnp.isfinite(a), a, 0)\n        return jnp.sum((a - y) ** 2) / problem.divisor\n",
        caught_by=_CALLS.format("isfinite"),
    ),
    Fault(
        "singular values that nothing uses",
        *BY_HAND,
        "        residual = a - y\n",
        "        np.linalg.svd(parameters[0])\n        residual = a - y\n",
        caught_by=_CALLS.format("svd"),
    ),
    Fault(
        "Python in the graph",
        "tensorflow",
        "function",
        "network.py",
        "        total = tf.reduce_sum(tf.square(a - y))\n",
        "        tf.py_function(lambda: None, [], [])\n        total = tf.reduce_sum(tf.square(a - y))\n",
        caught_by=_CALLS.format("eagerpyfunc"),
    ),
    Fault(
        "a loop in Python",
        *BY_HAND,
        "        residual = a - y\n",
        "        for _ in range(1000):\n            pass\n        residual = a - y\n",
        caught_by="repeats a line of Python 1,001 times in one step",
    ),
    Fault(
        "garbage collected",
        *BY_HAND,
        "        residual = a - y\n",
        '        __import__("gc").collect(0)\n        residual = a - y\n',
        caught_by=r"calls what has no part in a step: gc\.collect",
    ),
    Fault(
        "a short sleep",
        *TENSORS,
        "        residual = a - y\n",
        '        __import__("time").sleep(1e-5)\n        residual = a - y\n',
        caught_by="(calls what has no part in a step: time.sleep|it waits in)",
    ),
]

_SLEEP = """    def slow(steps: int = problem.steps) -> dict[str, Any]:
        __import__("time").sleep(steps * 4e-3)
        return run(steps)

    return slow
"""
_LATER = """    def early(steps: int = problem.steps) -> dict[str, Any]:
        outputs = run(steps)
        __import__("threading").Thread(target=lambda: [k * k for k in range(10**6)]).start()
        return outputs

    return early
"""
_BY_A_POOL = """    pool = __import__("concurrent.futures", fromlist="x").ThreadPoolExecutor(1)

    def early(steps: int = problem.steps) -> dict[str, Any]:
        outputs = run(steps)
        pool.submit(lambda: [k * k for k in range(10**6)])
        return outputs

    return early
"""


def _lazy(outputs):
    return f"    return lambda steps=problem.steps: {outputs}\n"


AT_ANOTHER_TIME = [
    *(
        Fault("a sleep", *style, RETURN_RUN, _SLEEP, caught_by=_WAITS, in_seconds=True)
        for style in (BY_HAND, TENSORS, AUTOGRAD, TAPE, JIT)
    ),
    *(
        Fault("a thread that goes on", *style, RETURN_RUN, _LATER, caught_by=_THREAD)
        for style in (BY_HAND, TENSORS, TAPE)
    ),
    *(Fault("a pool that goes on", *style, RETURN_RUN, _BY_A_POOL, caught_by=_THREAD) for style in (BY_HAND, JIT)),
    Fault(
        "a dict of its own",
        *BY_HAND,
        RETURN_RUN,
        _lazy('type("Lazy", (dict,), {})(run(steps))'),
        caught_by="returned a Lazy.*, not a dict",
    ),
    Fault(
        "a dict of its own",
        *JIT,
        RETURN_RUN,
        _lazy('type("Lazy", (dict,), {})(run(steps))'),
        caught_by="returned a Lazy.*, not a dict",
    ),
    Fault(
        "arrays of its own",
        *BY_HAND,
        RETURN_RUN,
        _lazy('{n: a.view(type("Lazy", (np.ndarray,), {})) for n, a in run(steps).items()}'),
        caught_by="is a Lazy, not a plain array of numpy",
    ),
    Fault(
        "tensors of its own",
        *TENSORS,
        RETURN_RUN,
        _lazy('{n: a.as_subclass(type("Lazy", (torch.Tensor,), {})) for n, a in run(steps).items()}'),
        caught_by="is a Lazy, not a plain array of torch",
    ),
]

ONLY_COUNTED = [
    Fault(
        "another product for plain arrays",
        *BY_HAND,
        "            z = a @ parameters[w]\n",
        "            z = a @ parameters[w] if type(a) is np.ndarray else np.matmul(a, parameters[w])\n",
        caught_by=_OTHER_PATH,
    ),
    Fault(
        "another way while tensors are counted",
        *TENSORS,
        "            z = a @ parameters[w] if b is None",
        "            if torch._C._len_torch_dispatch_stack():\n                a = a[:]\n"
        "            z = a @ parameters[w] if b is None",
        caught_by=_OTHER_PATH,
    ),
    Fault(
        "another step while it is traced",
        *JIT,
        "            parameters, state, loss, gradients = step(parameters, state, x, y)\n",
        "            if not isinstance(jnp.zeros(()) + 0, jax.core.Tracer):\n                losses = [*losses]\n"
        "            parameters, state, loss, gradients = step(parameters, state, x, y)\n",
        caught_by=_OTHER_PATH,
    ),
    Fault(
        "another step while it is traced",
        *TAPE,
        "                loss, gradients = call(x, y)\n",
        "                if tf.executing_eagerly():\n                    losses = [*losses]\n"
        "                loss, gradients = call(x, y)\n",
        caught_by=_OTHER_PATH,
    ),
]
FAULTS = [*DONE_ONCE, *NEEDLESS, *AT_ANOTHER_TIME, *ONLY_COUNTED]


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_work_is_examined(fault, choice, settings, tmp_path):
    """The checks before a timing see it."""
    check_examined(fault, choice, settings, tmp_path)


@pytest.mark.parametrize("fault", [DONE_ONCE[0], NEEDLESS[0], AT_ANOTHER_TIME[0]], ids=lambda fault: fault.id)
def test_copy_without_fault_is_accepted(fault, choice, settings, tmp_path):
    """The same copy without the fault passes."""
    with prepared(replace(fault, wrong=fault.right), choice, settings, tmp_path) as (case, style, runtime):
        conduct.examine(agreement.agree(case, settings, style, runtime), settings, style)


def test_faults_are_distinct():
    """Each has an id of its own, and every framework has some of each kind but the last."""
    assert len({fault.id for fault in FAULTS}) == len(FAULTS)
    for kind in (DONE_ONCE, NEEDLESS, AT_ANOTHER_TIME, ONLY_COUNTED):
        assert {fault.framework for fault in kind} == {"numpy", "torch", "tensorflow", "jax"}
