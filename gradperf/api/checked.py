"""Checks a backward pass that somebody wrote, against the reference of a problem: ``gradperf.check``."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradperf import problems
from gradperf.api.diagnosis import Sizes, diagnosis
from gradperf.api.notebook import Table
from gradperf.checks.agreement import GRADIENT_BOUND, norm_relative_error
from gradperf.errors import UserError
from gradperf.problems import Array, Arrays
from gradperf.problems.training import Training


@dataclass(frozen=True)
class Parameter:
    """What was found of the gradient by one parameter."""

    name: str
    error: float | None
    """Norm-relative; None if its shape is wrong, it is not finite, or it was not returned."""
    problem: str = ""
    """How it is off; empty if it is right."""

    @property
    def right(self) -> bool:
        """Whether it is the gradient."""
        return not self.problem


@dataclass(frozen=True, repr=False)
class Checked(Table):
    """The gradients of a backward pass, each right or how it is off. It is true if all are right."""

    problem: str
    dtype: str
    seed: int
    parameters: tuple[Parameter, ...]

    @property
    def right(self) -> bool:
        """Whether all gradients are right."""
        return all(parameter.right for parameter in self.parameters)

    def __bool__(self) -> bool:
        """Return whether all gradients are right."""
        return self.right

    @property
    def title(self) -> str:
        """What was checked."""
        return f"gradients of {self.problem} in {self.dtype}, seed {self.seed}"

    def records(self) -> list[dict[str, Any]]:
        """Return an entry for each parameter."""
        return [
            {"parameter": one.name, "error": one.error, "verdict": one.problem or "right"}
            for one in self.parameters
        ]


def check(
    backward: Callable[..., Any], problem: str = "tiny_3x2x1", *, dtype: str = "float64", seed: int = 0
) -> Checked:
    """Call ``backward`` with the inputs of a problem, and compare the gradients it returns with the reference.

    ``backward`` gets the inputs by name: ``x``, ``y``, ``w1``, ``b1``, …, as numpy arrays that it may change. It
    returns the gradients by the name of the parameter, or in the order of the parameters. A gradient is right if it
    is off by at most :data:`~gradperf.checks.agreement.GRADIENT_BOUND` of its norm. Raises UserError for a problem
    without gradients, and for what is no set of gradients.
    """
    if dtype not in GRADIENT_BOUND:
        raise UserError(f"unknown dtype {dtype!r}. There are: {', '.join(GRADIENT_BOUND)}")
    found = problems.find(problem).at_tier("quick")
    if not isinstance(found, Training):
        raise UserError(f"{problem} has no parameters to take gradients by; {_trainings()} have")
    inputs = found.inputs(seed, dtype)
    reference = {
        name.removeprefix("grad_"): array
        for name, array in found.gradient_problem().reference(inputs).items()
        if name.startswith("grad_")
    }
    _check_arguments(backward, inputs)
    returned = _by_name(backward(**{name: array.copy() for name, array in inputs.items()}), [*reference])
    sizes = Sizes(found.batch, found.layers[-1].outputs)
    return Checked(
        problem,
        dtype,
        seed,
        tuple(_parameter(name, returned.get(name), reference, GRADIENT_BOUND[dtype], sizes) for name in reference),
    )


def _trainings() -> str:
    return ", ".join(one.name for one in problems.entries() if isinstance(one, Training))


def _check_arguments(backward: Callable[..., Any], inputs: Arrays) -> None:
    """Check that it can be called with the inputs by their names; raises UserError."""
    try:
        signature = inspect.signature(backward)
    except (TypeError, ValueError):  # a function without a signature, of an extension
        return
    try:
        signature.bind(**inputs)
    except TypeError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
        raise UserError(f"the function is called with these inputs by name: {shapes}; {error}") from None


def _by_name(returned: Any, names: Sequence[str]) -> dict[str, Array]:
    """Return the gradients by name; raises UserError for names that no parameter has, and for another number."""
    if returned is None:
        raise UserError(f"the function returned nothing; return the gradients by {', '.join(names)}")
    if isinstance(returned, Mapping):
        named = {str(name).removeprefix("grad_"): value for name, value in returned.items()}
        if unknown := [name for name in named if name not in names]:
            raise UserError(f"the function returned {', '.join(unknown)}; the parameters are {', '.join(names)}")
    else:
        values = [returned] if len(names) == 1 and not isinstance(returned, list | tuple) else returned
        if not isinstance(values, list | tuple) or len(values) != len(names):
            count = f"{len(values)} values" if isinstance(values, list | tuple) else type(returned).__name__
            raise UserError(
                f"the function returned {count}; return the gradients by {', '.join(names)}, as a dict or in order"
            )
        named = dict(zip(names, values, strict=True))
    return {name: _array(name, value) for name, value in named.items() if value is not None}


def _array(name: str, value: Any) -> Array:
    """Return a gradient as numpy's array of float64; those of other libraries too."""
    if hasattr(value, "detach"):  # a tensor of torch
        value = value.detach().cpu()
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"the gradient by {name} is no array of numbers: {error}") from None


def _parameter(name: str, found: Array | None, reference: Arrays, bound: float, sizes: Sizes) -> Parameter:
    if found is None:
        return Parameter(name, None, "was not returned")
    expected = reference[name]
    error = norm_relative_error(found, expected) if found.shape == expected.shape else None
    if error is not None and error <= bound:
        return Parameter(name, error)
    finite = error if error is not None and np.isfinite(error) else None
    return Parameter(name, finite, diagnosis(name, found, reference, sizes))
