"""The operations and bytes that a problem states are correct.

They are compared with a count by hand in ``docs/problems.md`` and with XLA's cost analysis of a step.
``test_conduct.py`` compares them with the matrix products that each framework counts.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from correctness.networks import DEEP
from gradperf import cases, frameworks, problems
from gradperf.problems.training import Adam, Training

TRAININGS = [problem.at_tier("quick") for problem in problems.entries() if isinstance(problem, Training)]
DOCUMENT = Path(__file__).parent.parent / "docs" / "problems.md"


def written_out():
    """Return the table of the count by hand: for each line, operations in matrix products and others."""
    lines = re.findall(r"^\| `(.+?)` \| .+ \| ([\d,]*) \| ([\d,]*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return [[int(number.replace(",", "") or 0) for number in numbers] for _, *numbers in lines]


def test_count_by_hand_agrees():
    """``two_layer_784x30x10``, line by line, as in the documentation."""
    by_hand = written_out()
    assert len(by_hand) == 13
    work = problems.find("two_layer_784x30x10").work("float64")
    assert [sum(column) for column in zip(*by_hand, strict=True)] == [work.product_flops, work.other_flops]
    assert f"{work.product_flops:,}" in DOCUMENT.read_text()
    assert f"{work.bytes:,}" in DOCUMENT.read_text()


@pytest.mark.parametrize("problem", [*TRAININGS, DEEP], ids=lambda problem: problem.name)
def test_xla_counts_the_same(problem):
    """XLA's cost analysis of a step agrees, except that it counts powers as products and a sum as n − 1."""
    try:
        frameworks.load("jax", 1)
    except frameworks.Unavailable as reason:
        pytest.skip(str(reason))
    import jax

    from gradperf.frameworks.jax import network

    parameters, x, y = network.on_device(problem, problem.inputs(0, problem.dtype), "cpu")
    state = network.start(problem, parameters)
    counted = jax.jit(network.step_of(problem)).lower(parameters, state, x, y).cost_analysis()["flops"]
    assert problem.work(problem.dtype).flops == pytest.approx(counted, rel=0.04)


def counted_by_torch(call, dtype="float32"):
    """Return the operations in the matrix products of a call that gets torch and a matrix of ones, (4, 4)."""
    torch = pytest.importorskip("torch")
    from gradperf.frameworks.torch import counting

    ones = torch.ones(4, 4, requires_grad=True)
    return counting.operations(lambda: call(torch, ones), np.dtype(dtype)).products


PRODUCTS = {
    "operator": lambda torch, a: a @ a,
    "einsum": lambda torch, a: torch.einsum("ij,jk->ik", a, a),
    "addmm": lambda torch, a: torch.addmm(a, a, a),
    "linear": lambda torch, a: torch.nn.functional.linear(a, a),
    "batched": lambda torch, a: torch.bmm(a[None], a[None]),
    "out": lambda torch, a: torch.mm(a.detach(), a.detach(), out=torch.empty(4, 4)),
    "backward": lambda torch, a: (a @ a.detach()).sum().backward(),
    "inference": lambda torch, a: torch.inference_mode()(lambda: a @ a)(),
    "none": lambda torch, a: (a * a).sum(),
}


@pytest.mark.parametrize("kind", PRODUCTS)
def test_torch_counts_the_same(kind):
    """Its own counter agrees, for every way to a product."""
    flop_counter = pytest.importorskip("torch.utils.flop_counter")
    import torch

    with flop_counter.FlopCounterMode(display=False) as theirs:
        PRODUCTS[kind](torch, torch.ones(4, 4, requires_grad=True))
    assert counted_by_torch(PRODUCTS[kind]) == theirs.get_total_flops()
    assert (theirs.get_total_flops() == 0) == (kind == "none")


@pytest.mark.parametrize(("taken", "flops"), [(True, 0), (False, 128)])
def test_torch_counts_the_branch_that_is_taken(taken, flops):
    """A product in the other branch of a condition is not work."""

    def call(torch, a):
        return torch.cond(torch.tensor(taken), lambda x: x + 0, lambda x: x @ x, (a.detach(),))

    assert counted_by_torch(call) == flops


def test_torch_counts_products_of_the_dtype():
    """A product in float64 is none of a float32 case."""
    assert counted_by_torch(lambda torch, a: a.double() @ a.double()) == 0
    assert counted_by_torch(lambda torch, a: a.double() @ a.double(), "float64") == 128
    assert counted_by_torch(lambda torch, a: (a @ a, a * 1)) == 128


@pytest.mark.parametrize("problem", [*TRAININGS, DEEP], ids=lambda problem: problem.name)
def test_bytes_are_those_of_the_arrays(problem):
    """Inputs and parameters are read, results are written; float64 takes twice the bytes of float32."""
    inputs = problem.inputs(0, "float64")
    results = replace(problem, steps=1).reference(inputs)
    moved = sum(array.nbytes for array in (*inputs.values(), *results.values()))
    if isinstance(problem.optimizer, Adam):  # two moments, read and written
        moved += 4 * sum(inputs[name].nbytes for name in problem.parameters)
    assert problem.work("float64").bytes == moved == 2 * problem.work("float32").bytes


@pytest.mark.parametrize("style", ["by_hand", "by_hand_inplace"])
@pytest.mark.parametrize(
    "problem", [DEEP, replace(DEEP, optimizer=None, steps=1)], ids=["trained", "differentiated"]
)
def test_a_deep_network_is_counted(style, problem):
    """Three products for each layer, two for the first: numpy's counting arrays agree with the formula."""
    runtime = frameworks.load("numpy", 1)
    case = cases.Case(problem, "numpy", style, "cpu", "float64")
    inputs = problem.inputs(0, "float64")

    def prepare(inputs):
        return case.implementation.prepare(problem, inputs, "cpu", "float64")

    counted = runtime.operations(prepare(inputs), prepare, inputs).products
    widths = list(zip(problem.widths, problem.widths[1:], strict=False))
    products = [2 * problem.batch * i * o * (3 if layer else 2) for layer, (i, o) in enumerate(widths)]
    assert counted == problem.steps * sum(products) == problem.steps * problem.work("float64").product_flops


def test_counted_arrays_compute_the_same():
    """Counting does not change the results."""
    from gradperf.frameworks.numpy.counting import Counted

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 5))
    Counted.flops = 0
    counted = a.view(Counted)
    out = np.empty((4, 5))
    for product in (counted @ b, counted.dot(b), np.dot(counted, b), np.matmul(counted, b, out=out), out):
        np.testing.assert_array_equal(np.asarray(product), a @ b)
    np.testing.assert_allclose(np.asarray(np.einsum("ik,kj->ij", counted, b)), a @ b)
    assert Counted.flops == 5 * 2 * 4 * 3 * 5


def counted_by_tensorflow(call):
    """Return the operations of a call that gets TensorFlow and a matrix of ones, (4, 4)."""
    tf = pytest.importorskip("tensorflow")
    from gradperf.frameworks.tensorflow import counting

    ones = tf.ones((4, 4))
    return counting.operations(lambda: call(tf, ones), np.dtype("float32"))


@pytest.mark.parametrize("called", [False, True], ids=["in the graph", "in a function"])
def test_tensorflow_counts_the_cheapest_branch(called):
    """A branch that is not taken must not stand for the work of the other."""

    def branches(tf, a):
        return tf.cond(a[0, 0] > 0, lambda: a @ a + tf.tanh(a), lambda: a @ a @ a)

    def call(tf, a):
        # As an argument: what depends on a constant of the graph alone is computed once, and does not count.
        return tf.function(lambda b: branches(tf, b), autograph=False)(a) if called else branches(tf, a)

    counted = counted_by_tensorflow(call)
    assert counted.products == 128
    assert counted.functions == {"tanh"}


def test_tensorflow_refuses_a_loop():
    """How often the body of a loop runs is not known."""
    with pytest.raises(NotImplementedError, match="While cannot be counted"):
        counted_by_tensorflow(lambda tf, a: tf.while_loop(lambda i, b: i < 3, lambda i, b: (i + 1, b @ b), (0, a)))


@pytest.mark.parametrize("framework", frameworks.names())
def test_other_operations_are_counted(framework):
    """One for each entry of a result, or of what a sum takes; copies are none; functions are named."""
    try:
        runtime = frameworks.load(framework, 1)
    except frameworks.Unavailable as reason:
        pytest.skip(str(reason))
    functions = {
        "numpy": (np.tanh, np.sum, lambda a: a.T.copy()),
        "torch": ("tanh", "sum", lambda a: a.T.contiguous()),
        "jax": ("tanh", "sum", lambda a: a.T.copy()),
        "tensorflow": ("tanh", "reduce_sum", None),
    }[framework]
    if framework != "numpy":
        import importlib

        module = importlib.import_module({"jax": "jax.numpy"}.get(framework, framework))
        transposed = functions[2] or module.transpose
        functions = (getattr(module, functions[0]), getattr(module, functions[1]), transposed)
    tanh, total, transposed = functions

    def prepare(inputs):
        a = inputs["x"] if framework == "numpy" else runtime.from_numpy(inputs["x"], "cpu")
        return lambda: total(tanh(transposed(a) * a))

    inputs = {"x": np.linspace(0, 1, 16).reshape(4, 4)}
    found = runtime.operations(prepare(inputs), prepare, inputs)
    assert (found.products, found.others, found.functions) == (0, 3 * 16, {"tanh"})
