"""``gradperf.checks.agreement.agree``, which checks every case, catches each planted fault.

A fault is one wrong line in a style that is timed (``planted.py``). "Notebook D" is one of the five notebooks that
gradperf reproduces. Its two columns disagree because of two errors; both are planted below.
"""

from dataclasses import replace

import pytest

from correctness.places import (
    AUTOGRAD,
    BY_HAND,
    GRAPH,
    INPLACE,
    JIT,
    SCAN,
    TAPE,
    TENSORS,
    TF_NETWORK,
    TORCH_NETWORK,
)
from correctness.planted import Fault, prepared
from gradperf.checks import agreement

NUMPY_UPDATE = ("numpy", "by_hand", "optimizers.py")
OUTER = ("numpy", "outer_product", "training/outer_product.py")
LAYERS = ("torch", "layers", "training/layers.py")
TORCH_UPDATE = ("torch", "autograd", "optimizers.py")
FUNCTION = ("torch", "function", "training/function.py")
MODULE = ("torch", "module", "training/module.py")
TF_UPDATE = ("tensorflow", "function", "optimizers.py")
KERAS = ("tensorflow", "keras", "training/keras.py")
JAX_NETWORK = ("jax", "jit", "network.py")

_ADAM = "tiny_bias_adam_3x2x1"
_RELU = '"relu": (lambda z: np.maximum(z, 0), lambda delta, z: delta * (z > 0)),'

FAULTS = [
    # Notebook D's two errors.
    Fault("bias gradient divided by the batch", *BY_HAND, "delta.sum(axis=0)", "delta.mean(axis=0)"),
    Fault(
        "mask from before the bias was added",
        *BY_HAND,
        """            if b is not None:
                z = z + parameters[b]
            tape.append((a, z))
            a = activation(z)""",
        """            tape.append((a, z))
            a = activation(z if b is None else z + parameters[b])""",
    ),
    # Wrong gradients.
    Fault("factor 2 missing", *BY_HAND, "2 / divisor * residual", "1 / divisor * residual"),
    Fault("sign of the residual", *BY_HAND, "residual = a - y", "residual = y - a"),
    Fault("mask dropped", *BY_HAND, _RELU, _RELU.replace("delta * (z > 0)", "delta")),
    Fault("mask inverted", *BY_HAND, _RELU, _RELU.replace("z > 0", "z <= 0")),
    Fault("≥ for > at a kink", *BY_HAND, _RELU, _RELU.replace("z > 0", "z >= 0"), "at_the_kink"),
    Fault("product transposed", *BY_HAND, "delta @ parameters[w].T", "delta @ parameters[w]", "square"),
    Fault("mean for sum in the loss", *BY_HAND, ".sum() / divisor", ".mean() / divisor"),
    Fault("divisor forgotten", *BY_HAND, "2 / divisor * residual", "2 * residual", "polynomial_degree4"),
    Fault(
        "powers from 1",
        *BY_HAND,
        "np.arange(problem.powers + 1, ",
        "1 + np.arange(problem.powers + 1, ",
        "polynomial_degree4",
    ),
    Fault("float32 inside float64", *BY_HAND, "a = activation(z)", 'a = activation(z.astype("f4")).astype("f8")'),
    Fault("result in float32", *BY_HAND, 'dtype=inputs["x"].dtype', 'dtype="f4"'),
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
    Fault("absolute for squared", *TF_NETWORK, "tf.square(a - y)", "tf.abs(a - y)"),
    Fault(
        "≥ for > at a kink",
        *TF_NETWORK,
        '"relu": tf.nn.relu,',
        '"relu": lambda z: tf.maximum(z, 0),',
        "at_the_kink",
    ),
    Fault("examples in another order", *GRAPH, 'y: inputs["y"]}', 'y: inputs["y"][::-1]}'),
    Fault("sum for mean", *KERAS, "reduction=problem.loss", 'reduction="sum"', "polynomial_degree4"),
    Fault(
        "derivatives in another order",
        "tensorflow",
        "one_hot",
        "derivative/one_hot.py",
        "for vector in one_hot",
        "for vector in reversed(one_hot)",
        "sine_derivative_100",
        family="derivative",
    ),
    Fault(
        "sine for cosine",
        "numpy",
        "analytic",
        "derivative/analytic.py",
        "np.cos(x)",
        "np.sin(x)",
        "sine_derivative_100",
        family="derivative",
    ),
    Fault(
        "product transposed",
        "torch",
        "einsum",
        "matmul/einsum.py",
        "ik,kj->ij",
        "ik,kj->ji",
        "matmul_64x64x64",
        family="matmul",
    ),
    # Wrong updates.
    Fault(
        "a stale weight",
        *BY_HAND,
        "gradients = backward(parameters, tape)\n            update",
        "gradients = backward(initial, tape)\n            update",
    ),
    Fault(
        "a skipped step",
        *BY_HAND,
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
        *SCAN,
        "return (parameters, state), (loss, gradients)",
        "return (carry[0] if _ is not None else parameters, state), (loss, gradients)".replace(
            "carry[0] if _ is not None else parameters", "[(p + q) / 2 for p, q in zip(parameters, carry[0])]"
        ),
    ),
    Fault("loss of a step late", *JIT, "losses.append(loss)", "losses.append(losses[-1] if losses else loss)"),
    Fault(
        "epsilon inside the root",
        *JAX_NETWORK,
        "(jnp.sqrt(b) / root + eps)",
        "(jnp.sqrt(b + eps * 1e4) / root)",
        _ADAM,
    ),
    Fault(
        "first weight not reset", *TAPE, "for variable, start in initial:", "for variable, start in initial[1:]:"
    ),
    Fault(
        "float32 update in float64",
        *TF_UPDATE,
        "assign_sub(lr * gradient,",
        "assign_sub(tf.cast(tf.cast(lr * gradient, tf.float32), tf.float64),",
    ),
    Fault("second correction by β1", *TF_UPDATE, "1 - adam.beta2**t", "1 - adam.beta1**t", _ADAM),
    Fault(
        "state of the session carried over",
        *GRAPH,
        "    def run(steps: int = problem.steps) -> dict[str, Any]:\n        session.run(initialise)\n",
        "    session.run(initialise)\n\n    def run(steps: int = problem.steps) -> dict[str, Any]:\n",
    ),
    Fault(
        "Adam's betas exchanged",
        *KERAS,
        "optimizers.Adam(lr, beta1, beta2, eps)",
        "optimizers.Adam(lr, beta2, beta1, eps)",
        "deep",  # at lr 1e-6 the first fifty updates are lr times the gradient's sign for any betas
        "float32",
    ),
    # One for each check that no other check would replace.
    Fault(
        "gradient off by 1e-10",
        *BY_HAND,
        "delta = 2 / divisor * residual",
        "delta = (2 + 2e-10) / divisor * residual",
        caught_by="is off by 1e-10 of its norm, allowed 1e-11",
    ),
    Fault(
        "small updates 15 % too large",
        *NUMPY_UPDATE,
        "- lr * m_hat /",
        "- (1.15 if lr < 1e-3 else 1) * lr * m_hat /",
        _ADAM,
        "float32",
        caught_by="went another way",
    ),
    Fault(
        "gradient wrong in the training alone",
        *AUTOGRAD,
        "[tensor.grad for tensor in differentiated]\n            update(",
        "[tensor.grad * (1 + 1e-4) for tensor in differentiated]\n            update(",
        dtype="float32",
        caught_by="is off by 0.0001 of its norm, allowed 1e-05",
    ),
    Fault(
        "betas exchanged, in float32",
        *NUMPY_UPDATE,
        "adam.lr, adam.beta1, adam.beta2, adam.eps",
        "adam.lr, adam.beta2, adam.beta1, adam.eps",
        _ADAM,
        "float32",
        caught_by="disagrees|another way",
    ),
    Fault(
        "no Adam at all, in float32",
        *NUMPY_UPDATE,
        "lr * m_hat / (np.sqrt(v_hat) + eps)",
        "lr * np.sign(m_hat)",
        _ADAM,
        "float32",
        caught_by="disagrees|another way",
    ),
    Fault(
        "late losses too high",
        *BY_HAND,
        "losses[t], tape = forward(parameters)",
        "losses[t], tape = forward(parameters)\n            losses[t] = max(losses[t], 200)",
        "long",
        "float32",
        caught_by="√losses.*disagrees",
    ),
    Fault(
        "negative losses",
        *BY_HAND,
        "np.square(residual).sum() / divisor, ",
        "-np.square(residual).sum() / divisor, ",
        caught_by="holds a number that is not a sum of squares",
    ),
    Fault(
        "inputs rounded on the way",
        "numpy",
        "by_hand",
        "runtime.py",
        "    return array\n\n\ndef to_numpy",
        '    return array.astype("f4").astype(array.dtype)\n\n\ndef to_numpy',
        caught_by="inputs changed on the way",
    ),
    Fault(
        "product in half the digits",
        "torch",
        "operator",
        "matmul/operator.py",
        "a @ b for",
        "(a.bfloat16() @ b.bfloat16()).to(a.dtype) for",
        "matmul_5x784x10",
        "float32",
        "matmul",
    ),
    Fault(
        "one entry of thousands",
        "numpy",
        "by_hand",
        "training/by_hand.py",
        "    return a.T @ delta",
        "    g = a.T @ delta\n    g.flat[abs(g).argmin()] += 5e-4 * g.std()\n    return g",
        "two_layer_784x30x10",
        "float32",
        caught_by="disagrees in 1 of 23520 entries",
    ),
    Fault(
        "product scaled",
        "torch",
        "operator",
        "matmul/operator.py",
        "a @ b for",
        "(a @ b) * 1.0001 for",
        "matmul_64x64x64",
        "float32",
        "matmul",
        caught_by="is off by 0.0001 of its norm",
    ),
]

PHASE_FAULTS = [
    Fault(
        "half the gradient",
        "torch",
        "autograd",
        "by_autograd.py",
        "        loss.backward()\n        gradients",
        "        (loss / 2).backward()\n        gradients",
        caught_by="is off by 0.5 of its norm",
    ),
    Fault(
        "last backward pass not forgotten",
        "torch",
        "module",
        "training/module.py",
        "    def forward() -> torch.Tensor:\n        model.zero_grad()\n",
        "    def forward() -> torch.Tensor:\n",
        caught_by="is off by 1 of its norm",
    ),
    Fault(
        "loss of another pass",
        "tensorflow",
        "tape",
        "training/tape.py",
        "loss[None]",
        "2 * loss[None]",
        caught_by="√losses.*first backward pass disagrees",
    ),
]


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_fault_is_caught(fault, choice, settings, tmp_path):
    """The check fails on the faulty copy, with a message that states where."""
    with prepared(fault, choice, settings, tmp_path) as (case, style, runtime):
        expected = f"(?s){case.problem.name}.*{fault.caught_by}"
        with pytest.raises(agreement.Disagreement, match=expected):
            agreement.agree(case, settings, style, runtime)


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", PHASE_FAULTS, ids=lambda fault: fault.id)
def test_fault_in_a_phase_is_caught(fault, choice, settings, tmp_path):
    """Halves that are timed separately have checks of their own: the whole training of these copies is right."""
    with prepared(fault, choice, settings, tmp_path) as (case, style, runtime):
        agreed = agreement.agree(case, settings, style, runtime)
        phases = style.phases(case.problem, agreed.inputs, case.device, case.dtype)
        with pytest.raises(agreement.Disagreement, match=fault.caught_by):
            agreement.check_phases(agreed, phases)


@pytest.mark.parametrize(
    "fault",
    {(f.framework, f.style, f.file, f.problem, f.dtype): f for f in FAULTS + PHASE_FAULTS}.values(),
    ids=lambda fault: f"{fault.framework}.{fault.style} {fault.file} {fault.problem} {fault.dtype}",
)
def test_copy_without_fault_agrees(fault, choice, settings, tmp_path):
    """The same copy without the fault passes, so the check catches the fault and not the copy."""
    with prepared(replace(fault, wrong=fault.right), choice, settings, tmp_path) as (case, style, runtime):
        agreement.agree(case, settings, style, runtime)


def test_faults_are_enough_and_distinct():
    """There are at least 60 different faults, in every framework."""
    assert len({fault.id for fault in FAULTS}) == len(FAULTS) >= 60
    assert len({(f.framework, f.file, f.right, f.wrong, f.problem) for f in FAULTS}) == len(FAULTS)
    assert {fault.framework for fault in FAULTS} == {"numpy", "torch", "tensorflow", "jax"}
