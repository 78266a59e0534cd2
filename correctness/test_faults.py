"""Each planted fault is caught by the check that every case passes through, ``gradperf.agreement.agree``.

A fault is one wrong line in a style that is timed (``planted.py``). "Notebook D" is one of the five notebooks that
gradperf reproduces: its two columns disagree because of two errors, which both stand below.
"""

from dataclasses import replace

import numpy as np
import pytest

from correctness.planted import Fault, planted
from gradperf import agreement, cases, problems
from gradperf.problems.training import Layer

BACKPROP = ("numpy", "by_hand", "backprop.py")
NUMPY_UPDATE = ("numpy", "by_hand", "optimizers.py")
INPLACE = ("numpy", "by_hand_inplace", "training/by_hand_inplace.py")
OUTER = ("numpy", "outer_product", "training/outer_product.py")
TENSORS = ("torch", "tensors", "training/tensors.py")
LAYERS = ("torch", "layers", "training/layers.py")
AUTOGRAD = ("torch", "autograd", "by_autograd.py")
TORCH_NETWORK = ("torch", "autograd", "network.py")
TORCH_UPDATE = ("torch", "autograd", "optimizers.py")
FUNCTION = ("torch", "function", "training/function.py")
MODULE = ("torch", "module", "training/module.py")
JAX_NETWORK = ("jax", "jit", "network.py")
JAX_SCAN = ("jax", "scan", "training/scan.py")
JAX_STEPWISE = ("jax", "jit", "stepwise.py")

_ADAM = "tiny_bias_adam_3x2x1"
_RELU = '"relu": (lambda z: np.maximum(z, 0), lambda delta, z: delta * (z > 0)),'

FAULTS = [
    # Notebook D's two errors.
    Fault("bias gradient divided by the batch", *BACKPROP, "delta.sum(axis=0)", "delta.mean(axis=0)"),
    Fault(
        "mask from before the bias was added",
        *BACKPROP,
        """            if b is not None:
                z = z + parameters[b]
            tape.append((a, z))
            a = activation(z)""",
        """            tape.append((a, z))
            a = activation(z if b is None else z + parameters[b])""",
    ),
    # Wrong gradients.
    Fault("factor 2 missing", *BACKPROP, "2 / divisor * residual", "1 / divisor * residual"),
    Fault("sign of the residual", *BACKPROP, "residual = a - y", "residual = y - a"),
    Fault("mask dropped", *BACKPROP, _RELU, _RELU.replace("delta * (z > 0)", "delta")),
    Fault("mask inverted", *BACKPROP, _RELU, _RELU.replace("z > 0", "z <= 0")),
    Fault("≥ for > at a kink", *BACKPROP, _RELU, _RELU.replace("z > 0", "z >= 0"), "at_the_kink"),
    Fault("product transposed", *BACKPROP, "delta @ parameters[w].T", "delta @ parameters[w]", "square"),
    Fault("mean for sum in the loss", *BACKPROP, ".sum() / divisor", ".mean() / divisor"),
    Fault("divisor forgotten", *BACKPROP, "2 / divisor * residual", "2 * residual", "polynomial_degree4"),
    Fault(
        "powers from 1",
        *BACKPROP,
        "np.arange(problem.powers + 1, ",
        "1 + np.arange(problem.powers + 1, ",
        "polynomial_degree4",
    ),
    Fault("float32 inside float64", *BACKPROP, "a = activation(z)", 'a = activation(z.astype("f4")).astype("f8")'),
    Fault("result in float32", *BACKPROP, 'dtype=inputs["x"].dtype', 'dtype="f4"'),
    Fault("outer products averaged", *OUTER, ".sum(axis=0)", ".mean(axis=0)"),
    Fault(
        "input gradient by the mask alone",
        *INPLACE,
        "_product(layer_delta, w.T, self.gradients[-1])",
        "_product(z, w.T, self.gradients[-1])",
        "shifted_relu_784x50x1",
    ),
    Fault(
        "shift forgotten", *INPLACE, "np.asarray(0.5, z.dtype)", "np.asarray(0.0, z.dtype)", "shifted_relu_784x50x1"
    ),
    Fault(
        "a power skipped",
        *INPLACE,
        "rows[k - 1], column, rows[k]",
        "rows[k - 2], column, rows[k]",
        "polynomial_degree4",
    ),
    Fault(
        "delta not sent through the weights",
        *TENSORS,
        "delta @ parameters[w].t()",
        "delta.expand(-1, parameters[w].shape[0])",
    ),
    Fault("bias gradient of the first example", *LAYERS, "delta.sum(0)", "delta[0]"),
    Fault("mask of the output's gradient", *LAYERS, "delta * (self.a > 0)", "delta * (delta > 0)"),
    Fault("mask lost in the Function", *FUNCTION, "grad_outputs[0] * (z > 0)", "grad_outputs[0]"),
    Fault("threshold not at zero", *FUNCTION, "z.clamp(min=0)", "z.clamp(min=1e-3)"),
    Fault("mean over the outputs too", *TORCH_NETWORK, ".square().sum()", ".square().mean()"),
    Fault(
        "gradient cut off",
        *TORCH_NETWORK,
        '"relu": torch.relu,',
        '"relu": lambda z: torch.relu(z.detach()) + 0 * z,',
    ),
    Fault(
        "leaky activation", *JAX_NETWORK, '"relu": jax.nn.relu,', '"relu": lambda z: jax.nn.leaky_relu(z, 1e-4),'
    ),
    Fault(
        "maximum, ½ at the kink",
        *JAX_NETWORK,
        '"relu": jax.nn.relu,',
        '"relu": lambda z: jnp.maximum(z, 0),',
        "at_the_kink",
    ),
    Fault(
        "gradient stopped",
        *JAX_NETWORK,
        "z = z + parameters[slot.bias]",
        "z = z + jax.lax.stop_gradient(parameters[slot.bias])",
    ),
    Fault(
        "float32 product in float64",
        *JAX_NETWORK,
        "z = a @ parameters[slot.weight]",
        'z = (a.astype("f4") @ parameters[slot.weight].astype("f4")).astype("f8")',
    ),
    # Wrong updates.
    Fault(
        "a stale weight",
        *BACKPROP,
        "gradients = backward(parameters, tape)\n            update",
        "gradients = backward(initial, tape)\n            update",
    ),
    Fault(
        "a skipped step",
        *BACKPROP,
        "            losses[t], tape = forward",
        "            if t == 7:\n                continue\n            losses[t], tape = forward",
    ),
    Fault("uphill", *NUMPY_UPDATE, "parameters[i] - lr * gradients[i]", "parameters[i] + lr * gradients[i]"),
    Fault(
        "first bias correction by β2",
        *NUMPY_UPDATE,
        "m[i] / (1 - beta1**steps)",
        "m[i] / (1 - beta2**steps)",
        _ADAM,
    ),
    Fault("no second bias correction", *NUMPY_UPDATE, "v[i] / (1 - beta2**steps)", "v[i]", _ADAM),
    Fault("steps counted from 2", *NUMPY_UPDATE, "steps = 0", "steps = 1", _ADAM),
    Fault("weights not reset", *INPLACE, "            np.copyto(parameter, start)", "            pass"),
    Fault("Adam's moments not reset", *INPLACE, "        m.fill(0)\n", "", _ADAM),
    Fault(
        "gradient not reset",
        *AUTOGRAD,
        "update(parameters, gradients)\n            for tensor in differentiated:",
        "update(parameters, gradients)\n            for tensor in []:",
    ),
    Fault("learning rate in twice", *TORCH_UPDATE, "alpha=lr", "alpha=lr * lr"),
    Fault(
        "square of the mean, not mean of the square",
        *TORCH_UPDATE,
        "addcmul_(gradient, gradient,",
        "addcmul_(m[i], m[i],",
        _ADAM,
    ),
    Fault(
        "weight loaded untransposed",
        *MODULE,
        "linear.weight.copy_(initial[slot.weight].t())",
        "linear.weight.copy_(initial[slot.weight])",
        "square",
    ),
    Fault("Adam's betas exchanged", *MODULE, "betas=(beta1, beta2)", "betas=(beta2, beta1)", _ADAM),
    Fault(
        "gradients of the last step kept",
        *MODULE,
        "            model.zero_grad()\n            x.grad = None\n            loss = ",
        "            loss = ",
    ),
    Fault(
        "every other step",
        *JAX_SCAN,
        "return (parameters, state), (loss, gradients)",
        "return (carry[0] if _ is not None else parameters, state), (loss, gradients)".replace(
            "carry[0] if _ is not None else parameters", "[(p + q) / 2 for p, q in zip(parameters, carry[0])]"
        ),
    ),
    Fault(
        "loss of a step late", *JAX_STEPWISE, "losses.append(loss)", "losses.append(losses[-1] if losses else loss)"
    ),
    Fault(
        "epsilon inside the root",
        *JAX_NETWORK,
        "(jnp.sqrt(b) / root + eps)",
        "(jnp.sqrt(b + eps * 1e4) / root)",
        _ADAM,
    ),
]


def _problem(name):
    tiny = problems.find("tiny_bias_3x2x1").at_tier("quick")
    if name == "square":
        return replace(tiny, name="square", layers=(Layer(3, "relu"), Layer(3, "tanh"), Layer(3)))
    if name == "at_the_kink":
        # Rows of zeros and biases of zero: their pre-activations are exactly 0.
        return replace(tiny, name="at_the_kink", draw=_half_zero, initialise_bias=_no_bias)
    return problems.find(name).at_tier("quick")


def _half_zero(generator, problem):
    x = generator.standard_normal((problem.batch, problem.features))
    x[::2] = 0
    return x, generator.standard_normal((problem.batch, 1))


def _no_bias(generator, fan_in, fan_out):
    return np.zeros((fan_in, fan_out))


def _case(fault):
    return cases.Case(_problem(fault.problem), fault.framework, fault.style, "cpu", fault.dtype)


def _skip_unless_it_runs(case, settings):
    if reason := cases.obstacle(case, settings.threads):
        pytest.skip(reason)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_fault_is_caught(fault, settings, tmp_path):
    """The check goes red on the faulty copy, with a message that says where."""
    case = _case(fault)
    _skip_unless_it_runs(case, settings)
    with planted(fault, tmp_path) as style, pytest.raises(agreement.Disagreement, match=case.problem.name):
        agreement.agree(case, settings, style)


@pytest.mark.parametrize(
    "fault",
    {(f.framework, f.style, f.file, f.problem): f for f in FAULTS}.values(),
    ids=lambda fault: f"{fault.framework}.{fault.style} {fault.problem}",
)
def test_copy_without_fault_agrees(fault, settings, tmp_path):
    """The same copy without the fault passes, so it is the fault that is caught and not the copying."""
    case = _case(fault)
    _skip_unless_it_runs(case, settings)
    with planted(replace(fault, wrong=fault.right), tmp_path) as style:
        agreement.agree(case, settings, style)


def test_faults_are_enough_and_distinct():
    """At least 40, in every framework, each one of its own."""
    assert len({fault.id for fault in FAULTS}) == len(FAULTS) >= 40
    assert len({(f.framework, f.file, f.right, f.wrong, f.problem) for f in FAULTS}) == len(FAULTS)
