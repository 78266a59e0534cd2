"""Agreement with the float64 reference. A case is timed, or shown, only after :func:`agree` let it pass.

Checked for every case, on the very function that is timed:

- the inputs' SHA-256, after the round trip through the framework;
- names, shapes and dtypes of what comes back;
- the first gradients: norm-relative error within :data:`GRADIENT_BOUND`, and ``allclose``;
- the losses along the way and the final weights: ``allclose``;
- the way travelled, final minus initial weights: at a learning rate of 1e-6 the weights themselves would pass
  ``allclose`` if nothing had been trained at all;
- the same again on a second call, which must start from the same initial state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from gradperf import frameworks, problems
from gradperf.cases import Case, Settings
from gradperf.contract import Backward, Forward, Outputs, Run, Runtime
from gradperf.problems import Array, Arrays, Problem

GRADIENT_BOUND = {"float32": 1e-5, "float64": 1e-11}
"""Largest ‖g − g_ref‖ / ‖g_ref‖ of a first gradient. A style that cannot meet it has a ``GRADIENT_BOUND`` of its
own, with the reason."""

ALLCLOSE = {"float32": (1e-3, 1e-5), "float64": (1e-9, 1e-11)}
"""rtol and atol. float32: those of the published notebooks. atol is in units of the array's largest entry where
that is above 1: a sum over the batch that reaches 3e7 has rounding errors of that size too."""


class Disagreement(AssertionError):
    """A style that does not compute what the reference computes."""


@dataclass(frozen=True)
class Agreed:
    """A case that agreed, ready to be timed."""

    case: Case
    runtime: Runtime
    run: Run
    inputs: Arrays
    inputs_sha256: str
    framework_version: str
    outputs: Arrays
    gradients: Arrays
    reference_gradients: Arrays
    gradient_error: float | None
    """Largest norm-relative error of a first gradient; None where nothing is differentiated."""
    trajectory_error: float
    """Largest norm-relative error of what the timed function returned."""

    @property
    def final_loss(self) -> float | None:
        """Loss at the last step; None where there is none."""
        return float(self.outputs["losses"][-1]) if "losses" in self.outputs else None


@lru_cache(maxsize=64)
def truth(problem: Problem, seed: int, dtype: str) -> tuple[Arrays, str, Arrays]:
    """Inputs in ``dtype``, their hash, and the float64 reference that starts from those same rounded inputs."""
    inputs = problem.inputs(seed, dtype)
    return inputs, problems.sha256(inputs), problem.reference(inputs)


def agree(case: Case, settings: Settings, style: Any = None) -> Agreed:
    """Prepare ``case``, check it against the reference, and give what is to be timed.

    ``style`` stands in for the case's own module. Raises :class:`Disagreement` with both numbers, the largest
    error, and where it is; ``frameworks.Unavailable`` where the framework cannot be imported.
    """
    runtime = frameworks.load(case.framework, settings.threads)
    style = style or case.module
    inputs, digest, reference = truth(case.problem, settings.seed, case.dtype)
    check_round_trip(case, runtime, inputs, digest)

    gradients: Arrays = {}
    reference_gradients: Arrays = {}
    differentiated = case.problem.gradient_problem()
    if differentiated is not None:
        _, _, reference_gradients = truth(differentiated, settings.seed, case.dtype)
        first = style.prepare(differentiated, inputs, case.device, case.dtype)
        gradients = checked(case, runtime, first(), reference_gradients)
        check_gradients(case, style, gradients, reference_gradients)

    run = style.prepare(case.problem, inputs, case.device, case.dtype)
    outputs: Arrays = {}
    for call in ("first", "second"):
        outputs = checked(case, runtime, run(), reference, where=f" of the {call} call")
        check_way(case, inputs, outputs, reference)
    check_unchanged(case, inputs, digest)
    return Agreed(
        case=case,
        runtime=runtime,
        run=run,
        inputs=inputs,
        inputs_sha256=digest,
        framework_version=runtime.version(),
        outputs=outputs,
        gradients=gradients,
        reference_gradients=reference_gradients,
        gradient_error=largest_error(gradients, reference_gradients) if gradients else None,
        trajectory_error=largest_error(outputs, reference),
    )


def check_phases(agreed: Agreed, phases: tuple[Forward, Backward]) -> None:
    """Check ``backward(forward())``, twice, against the first gradients."""
    case, runtime, (forward, backward) = agreed.case, agreed.runtime, phases
    for call in ("first", "second"):
        where = f" of the {call} backward pass"
        gradients = checked(case, runtime, backward(forward()), agreed.reference_gradients, where)
        check_gradients(case, case.module, gradients, agreed.reference_gradients)
    check_unchanged(case, agreed.inputs, agreed.inputs_sha256)


def check_round_trip(case: Case, runtime: Runtime, inputs: Arrays, digest: str) -> None:
    """The framework must receive the very bytes that were drawn."""
    back = {n: runtime.to_numpy(runtime.from_numpy(array, case.device)) for n, array in inputs.items()}
    if (found := problems.sha256(back)) != digest:
        raise Disagreement(f"{case.id}: inputs changed on the way through {case.framework}: {found} ≠ {digest}")


def check_unchanged(case: Case, inputs: Arrays, digest: str) -> None:
    """No style may write into the inputs, which the next style shares."""
    if problems.sha256(inputs) != digest:
        raise Disagreement(f"{case.id}: the style wrote into its inputs, which all styles share")


def checked(case: Case, runtime: Runtime, outputs: Outputs, reference: Arrays, where: str = "") -> dict[str, Array]:
    """Bring outputs to numpy; check names, dtypes, shapes and ``allclose``."""
    arrays = {name: np.asarray(runtime.to_numpy(array)) for name, array in outputs.items()}
    if arrays.keys() != reference.keys():
        raise Disagreement(f"{case.id}: returned {sorted(arrays)}, the reference has {sorted(reference)}")
    for name, array in arrays.items():
        expected = reference[name]
        if array.dtype != case.dtype:
            raise Disagreement(f"{case.id}: {name}{where} is {array.dtype}, the case says {case.dtype}")
        if array.shape != expected.shape:
            raise Disagreement(f"{case.id}: {name}{where} has shape {array.shape}, not {expected.shape}")
        rtol, atol = ALLCLOSE[case.dtype]
        allowed = rtol * np.abs(expected) + atol * max(1.0, float(np.abs(expected).max()))
        # Written so that a NaN fails.
        excess = np.where(np.abs(array - expected) <= allowed, 0.0, np.abs(array - expected) / allowed)
        if excess.any():
            at = np.unravel_index(np.nanargmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
            raise Disagreement(
                f"{case.id}: {name}{where} disagrees in {np.count_nonzero(excess)} of {excess.size} entries; "
                f"furthest at {tuple(map(int, at))}: {array[at]:.9g}, reference {expected[at]:.9g} "
                f"(rtol {rtol:g}, atol {atol:g} of the largest entry)"
            )
    return arrays


def check_gradients(case: Case, style: Any, gradients: Arrays, reference: Arrays) -> None:
    """Hold each first gradient to its bound on ‖g − g_ref‖ / ‖g_ref‖."""
    bound = getattr(style, "GRADIENT_BOUND", GRADIENT_BOUND)[case.dtype]
    for name, gradient in gradients.items():
        error = norm_relative_error(gradient, reference[name])
        if name.startswith("grad_") and not error <= bound:
            raise Disagreement(
                f"{case.id}: {name} is off by {error:.3g} of its norm, allowed {bound:g}; "
                f"norms {np.linalg.norm(gradient):.9g}, reference {np.linalg.norm(reference[name]):.9g}"
            )


def check_way(case: Case, inputs: Arrays, outputs: Arrays, reference: Arrays) -> None:
    """Compare final minus initial weights: rtol of ``allclose`` in norm, plus what rounding to dtype must cost.

    Adding a small update to a weight w rounds it by up to ε/2·|w|, at every step and perhaps always the same
    way: at lr 1e-6 and float32 that is some percent of the update itself.
    """
    rtol, _ = ALLCLOSE[case.dtype]
    rounding = case.problem.steps * float(np.finfo(case.dtype).eps) / 2
    for name in outputs.keys() & inputs.keys():
        way, expected = outputs[name] - inputs[name].astype(np.float64), reference[name] - inputs[name]
        size = max(np.linalg.norm(inputs[name]), np.linalg.norm(reference[name]))
        allowed = rtol * np.linalg.norm(expected) + rounding * size
        if not np.linalg.norm(way - expected) <= allowed:
            raise Disagreement(
                f"{case.id}: {name} went another way: moved by {np.linalg.norm(way):.6g}, the reference by "
                f"{np.linalg.norm(expected):.6g}, apart {np.linalg.norm(way - expected):.3g} > {allowed:.3g}"
            )


def norm_relative_error(found: Array, expected: Array) -> float:
    """‖found − expected‖ / ‖expected‖ in float64; the plain difference where the expected norm is 0."""
    difference = float(np.linalg.norm(found.astype(np.float64) - expected))
    return difference / (float(np.linalg.norm(expected)) or 1.0)


def largest_error(found: Mapping[str, Array], expected: Arrays) -> float:
    """Largest norm-relative error over all arrays."""
    return max(norm_relative_error(array, expected[name]) for name, array in found.items())
