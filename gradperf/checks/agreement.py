"""Checks that a case agrees with its float64 reference. It is timed or shown only after :func:`agree` accepted it.

The checked code is the timed code, from the style's own ``prepare``. It is called twice, because every call must
start from the same initial state. The first gradients are computed from one large step of the timed code. Adam is
also checked at a learning rate that float32 can resolve.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from gradperf import frameworks, problems
from gradperf.cases import Case, Settings
from gradperf.frameworks.contract import Backward, Forward, Outputs, Run, Runtime, Style, each
from gradperf.machine import tasks
from gradperf.problems import Array, Arrays, Problem

GRADIENT_BOUND = {"float32": 1e-5, "float64": 1e-11}
"""Largest allowed ‖g − g_ref‖ / ‖g_ref‖ of a first gradient."""

OUTPUT_BOUND = {"float32": 1e-5, "float64": 1e-12}
"""Largest allowed ‖a − a_ref‖ / ‖a_ref‖ of an output after all steps. All styles, problems and four seeds: at most
2.2e-6 and 2.2e-15. TF32 is off by 1e-4 and more."""

ALLCLOSE = {"float32": (1e-3, 1e-5), "float64": (1e-9, 1e-11)}
"""rtol and atol. float32: those of the published notebooks. atol is in units of the largest entry of the array, if
that is above 1: an entry that is small because large terms cancel has the rounding errors of the large terms."""

_LATE_S = 1e-3
"""Waiting for results that are ready takes microseconds."""


class Disagreement(AssertionError):
    """A style does not compute what the reference computes."""


@dataclass(frozen=True)
class Agreed:
    """A case that agrees with its reference, ready to be timed."""

    case: Case
    runtime: Runtime
    prepared: Problem
    """What the style was prepared for. The problem of ``case`` may be only its first steps (:func:`agree_at`)."""
    run: Run
    """The call to time."""
    run_steps: Run
    """What the style prepared: it takes a number of steps."""
    inputs: Arrays
    inputs_sha256: str
    threads: frozenset[threading.Thread | int]
    """The threads of Python that there were before the style prepared anything."""
    framework_version: str
    outputs: Arrays
    trajectory_error: float
    """Largest norm-relative error of the outputs of all steps."""
    final_loss: float | None = None
    """The loss at the last of all steps; None without a loss."""
    gradients: Arrays = field(default_factory=dict)
    reference_gradients: Arrays = field(default_factory=dict)
    gradient_error: float | None = None
    """Largest norm-relative error of a first gradient; None without a gradient."""


@lru_cache(maxsize=16)
def drawn(problem: Problem, seed: int, dtype: str) -> tuple[Arrays, str]:
    """Return the inputs in ``dtype``, and their hash."""
    inputs = problem.inputs(seed, dtype)
    return inputs, problems.sha256(inputs)


@lru_cache(maxsize=256)
def truth(variant: Problem, problem: Problem, seed: int, dtype: str) -> Arrays:
    """Return the float64 reference of ``variant`` for the inputs of ``problem``, rounded to ``dtype``."""
    return variant.reference(drawn(problem, seed, dtype)[0])


def agree(
    case: Case,
    settings: Settings,
    style: Style | None = None,
    runtime: Runtime | None = None,
    *,
    whole_calls: int = 2,
) -> Agreed:
    """Prepare ``case``, check it against the reference, and return what is to be timed.

    ``style`` and ``runtime`` replace the case's own. Calls of all steps are checked ``whole_calls`` times: once is
    enough if the timed calls are checked by themselves (:func:`agree_at`). Raises :class:`Disagreement` with both
    numbers, the largest error and where it is, and ``frameworks.Unavailable`` if the framework cannot be imported.
    """
    runtime = runtime or frameworks.load(case.framework, settings.threads)
    style = style or case.implementation
    before = tasks.of_python()
    inputs, digest = drawn(case.problem, settings.seed, case.dtype)
    check_round_trip(case, runtime, inputs, digest)

    probe = case.problem.probe()
    run, outputs = _trained(case, settings, style, runtime, probe, whole_calls if probe == case.problem else 2)
    shown: dict[str, Any] = {}
    if (differentiated := case.problem.gradient_problem()) is not None:
        reference = truth(differentiated, case.problem, settings.seed, case.dtype)
        gradients = case.problem.gradients_shown(inputs, outputs)
        check_norms(case, gradients, reference)
        error = largest_error(gradients, reference)
        shown = {"gradients": gradients, "reference_gradients": reference, "gradient_error": error}
    if (rehearsal := case.problem.rehearsal()) is not None:
        _trained(case, settings, style, runtime, rehearsal)
    if probe != case.problem:
        run, outputs = _trained(case, settings, style, runtime, case.problem, whole_calls)
    return replace(_agreed(case, settings, runtime, run, outputs, case.problem), threads=before, **shown)


def agree_again(case: Case, settings: Settings, steps: int | None = None) -> Agreed:
    """Prepare a case that just agreed in another process, and check only its calls; raises as :func:`agree`.

    Calls of ``steps`` if given, else of all steps.
    """
    runtime = frameworks.load(case.framework, settings.threads)
    inputs, _ = drawn(case.problem, settings.seed, case.dtype)
    run = case.implementation.prepare(case.problem, inputs, case.device, case.dtype)
    checked = case.problem if steps is None else case.problem.with_steps(steps)
    called = run if steps is None else partial(run, steps)
    return _agreed(case, settings, runtime, run, _called(case, settings, runtime, checked, called), checked)


def _agreed(
    case: Case, settings: Settings, runtime: Runtime, run: Run, outputs: Arrays, checked: Problem
) -> Agreed:
    inputs, digest = drawn(case.problem, settings.seed, case.dtype)
    error = largest_error(outputs, truth(checked, case.problem, settings.seed, case.dtype))
    loss = float(outputs["losses"][-1]) if "losses" in outputs else None
    return Agreed(
        *(case, runtime, case.problem, run, run, inputs, digest, tasks.of_python(), runtime.version()),
        *(outputs, error, loss),
    )


def _trained(
    case: Case, settings: Settings, style: Style, runtime: Runtime, problem: Problem, calls: int = 2
) -> tuple[Run, dict[str, Array]]:
    """Prepare ``problem`` in the style of ``case``, and check calls against the reference."""
    inputs, _ = drawn(case.problem, settings.seed, case.dtype)
    run = style.prepare(problem, inputs, case.device, case.dtype)
    return run, _called(case, settings, runtime, problem, run, calls)


def _called(
    case: Case, settings: Settings, runtime: Runtime, problem: Problem, run: Run, calls: int = 2
) -> dict[str, Array]:
    """Check calls of ``run``, which computes ``problem``, against the reference."""
    inputs, digest = drawn(case.problem, settings.seed, case.dtype)
    reference = truth(problem, case.problem, settings.seed, case.dtype)
    outputs: dict[str, Array] = {}
    for call in ("first", "second")[:calls]:
        where = f" of the {call} call"
        returned = run()
        check_ready(case, runtime, returned, where)
        outputs = to_numpy(case, runtime, returned, reference, where)
        check_entries(case, outputs, reference, where)
        check_way(case, problem.steps, inputs, outputs, reference)
    if problem.family != "training":
        check_norms(case, outputs, reference)
    error, bound = largest_error(outputs, reference), OUTPUT_BOUND[case.dtype]
    if problem.steps > 1 and not error <= bound:  # one step is held to its gradient
        raise Disagreement(
            f"{case.id}: after {problem.steps} steps the outputs are off by {error:.3g} of their norm, allowed "
            f"{bound:g}: the arithmetic of {case.dtype} is off by less"
        )
    check_unchanged(case, inputs, digest)
    return outputs


def agree_at(agreed: Agreed, settings: Settings, steps: int) -> Agreed:
    """Return the case with calls of ``steps``, after two of them agreed with the reference of as many steps.

    Errors and gradients stay those of the whole training. Raises :class:`Disagreement`.
    """
    problem, run = agreed.case.problem.with_steps(steps), partial(agreed.run_steps, steps)
    outputs = _called(agreed.case, settings, agreed.runtime, problem, run)
    return replace(agreed, case=replace(agreed.case, problem=problem), run=run, outputs=outputs)


def check_timed(agreed: Agreed, returned: Outputs) -> None:
    """Check that a call after the timed ones still returns the same: nothing was carried over.

    By ``allclose``, because several threads may sum in any order.
    """
    case, where = agreed.case, " of the call after the timed ones"
    outputs = to_numpy(case, agreed.runtime, returned, agreed.outputs, where)
    check_entries(case, outputs, agreed.outputs, where)
    check_way(case, case.problem.steps, agreed.inputs, outputs, agreed.outputs)


def check_phases(agreed: Agreed, phases: tuple[Forward, Backward]) -> None:
    """Check ``backward(forward())``, twice, against the first gradients."""
    case, runtime, (forward, backward) = agreed.case, agreed.runtime, phases
    reference = agreed.reference_gradients
    for call in ("first", "second"):
        where = f" of the {call} backward pass"
        late_s = min(_late_s(runtime, forward) for _ in range(3))
        if late_s > _LATE_S:
            raise Disagreement(f"{case.id}: the forward pass returned {late_s * 1e3:.3g} ms before it was ready")
        returned = backward(forward())
        check_ready(case, runtime, returned, where)
        outputs = to_numpy(case, runtime, returned, reference, where)
        check_norms(case, outputs, reference)
        check_entries(case, outputs, reference, where)
    check_unchanged(case, agreed.inputs, agreed.inputs_sha256)


def _late_s(runtime: Runtime, forward: Forward) -> float:
    """Return the seconds from the return of a call until its results are ready."""
    state = forward()
    start_s = time.perf_counter()
    runtime.wait(state)
    return time.perf_counter() - start_s


def check_round_trip(case: Case, runtime: Runtime, inputs: Arrays, digest: str) -> None:
    """Check that the framework receives exactly the bytes that were drawn."""
    back = {n: runtime.to_numpy(runtime.from_numpy(array, case.device)) for n, array in inputs.items()}
    if (returned := problems.sha256(back)) != digest:
        raise Disagreement(f"{case.id}: inputs changed on the way through {case.framework}: {returned} ≠ {digest}")


def check_unchanged(case: Case, inputs: Arrays, digest: str) -> None:
    """Check that the style did not write into the inputs, which all styles share."""
    if problems.sha256(inputs) != digest:
        raise Disagreement(f"{case.id}: the style wrote into its inputs, which all styles share")


def check_ready(case: Case, runtime: Runtime, outputs: Outputs, where: str = "") -> None:
    """Check that the call returned when its results were ready, not before."""
    if late := dict.fromkeys(name for name, array in each(outputs) if not runtime.ready(array)):
        raise Disagreement(f"{case.id}: the call returned before {', '.join(late)}{where} was ready")


def check_plain(case: Case, runtime: Runtime, outputs: Outputs, where: str = "") -> None:
    """Check that the outputs are a dict of plain arrays: others could compute what they hold when it is read."""
    plain = {np.ndarray, type(runtime.from_numpy(np.zeros(1, case.dtype), case.device))}
    if type(outputs) is not dict:
        raise Disagreement(f"{case.id}: the call returned a {type(outputs).__name__}{where}, not a dict")
    for name, array in each(outputs):
        if type(array) not in plain:
            raise Disagreement(
                f"{case.id}: {name}{where} is a {type(array).__name__}, not a plain array of {case.framework}"
            )


def to_numpy(
    case: Case, runtime: Runtime, outputs: Outputs, reference: Arrays, where: str = ""
) -> dict[str, Array]:
    """Copy the outputs to numpy; check names, dtypes and shapes."""
    check_plain(case, runtime, outputs, where)
    # Copies, because a style may reuse its arrays in the next call.
    copies: dict[str, list[Array]] = {name: [] for name in outputs}
    for name, array in each(outputs):
        copies[name].append(np.array(runtime.to_numpy(array)))
    arrays = {name: np.stack(c) if isinstance(outputs[name], list) else c[0] for name, c in copies.items()}
    if arrays.keys() != reference.keys():
        raise Disagreement(f"{case.id}: returned {sorted(arrays)}, the reference has {sorted(reference)}")
    for name, array in arrays.items():
        if array.dtype != case.dtype:
            raise Disagreement(f"{case.id}: {name}{where} is {array.dtype}, the case says {case.dtype}")
        if array.shape != reference[name].shape:
            raise Disagreement(f"{case.id}: {name}{where} has shape {array.shape}, not {reference[name].shape}")
    return arrays


def check_entries(case: Case, found: Arrays, reference: Arrays, where: str = "") -> None:
    """Check every entry by ``allclose``.

    A loss is compared by its root, the norm of the residual: the rounding error of that stays as it is at the first
    step, while the loss itself falls by 14 orders of magnitude.
    """
    rtol, atol = ALLCLOSE[case.dtype]
    for name, array in found.items():
        expected, shown = reference[name], name
        if name == "losses":
            array, expected, shown = np.sqrt(np.maximum(array, 0)), np.sqrt(expected), "√losses"
            if not (found[name] >= 0).all():
                raise Disagreement(
                    f"{case.id}: losses{where} holds a number that is not a sum of squares: {found[name].min()}"
                )
        allowed = rtol * np.abs(expected) + atol * max(1.0, float(np.abs(expected).max()))
        # A NaN fails this comparison.
        excess = np.where(np.abs(array - expected) <= allowed, 0.0, np.abs(array - expected) / allowed)
        if excess.any():
            at = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
            raise Disagreement(
                f"{case.id}: {shown}{where} disagrees in {np.count_nonzero(excess)} of {excess.size} entries; "
                f"furthest at {tuple(map(int, at))}: {array[at]:.9g}, reference {expected[at]:.9g} "
                f"(rtol {rtol:g}, atol {atol:g} of the largest entry)"
            )


def check_norms(case: Case, found: Arrays, reference: Arrays) -> None:
    """Check that ‖a − a_ref‖ / ‖a_ref‖ of each array but the losses is within its bound."""
    bound = GRADIENT_BOUND[case.dtype]
    for name, array in found.items():
        error = norm_relative_error(array, reference[name])
        if name != "losses" and not error <= bound:
            raise Disagreement(
                f"{case.id}: {name} is off by {error:.3g} of its norm, allowed {bound:g}; "
                f"norms {np.linalg.norm(array):.9g}, reference {np.linalg.norm(reference[name]):.9g}"
            )


def check_way(case: Case, steps: int, inputs: Arrays, outputs: Arrays, reference: Arrays) -> None:
    """Compare final minus initial weights: rtol of ``allclose`` in norm, plus the error of rounding to the dtype.

    At a learning rate of 1e-6 the weights alone would pass ``allclose`` without any training. Adding a small update
    to a weight w rounds it by up to ε/2·|w| at every step, perhaps always in the same direction: in float32 that is
    some percent of the update itself.
    """
    rtol, _ = ALLCLOSE[case.dtype]
    rounding = steps * float(np.finfo(case.dtype).eps) / 2
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
    """Return ‖found − expected‖ / ‖expected‖ in float64, or ‖found − expected‖ if the expected norm is 0."""
    difference = float(np.linalg.norm(found.astype(np.float64) - expected))
    return difference / (float(np.linalg.norm(expected)) or 1.0)


def largest_error(found: Mapping[str, Array], expected: Arrays) -> float:
    """Return the largest norm-relative error over all arrays; 0 without arrays."""
    return max((norm_relative_error(array, expected[name]) for name, array in found.items()), default=0.0)
