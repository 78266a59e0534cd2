"""Derivatives with a known answer: d sin(x)/dx = cos(x) at points evenly spaced on [−2π, 2π].

One derivative is too short for a clock, so one call computes several. Each has its own points, so that none can be
skipped or copied from another.
"""

from dataclasses import dataclass, replace

import numpy as np

from gradperf.problems.problem import Arrays, Problem, Work, frozen

BASELINE = "numpy.analytic"


@dataclass(frozen=True)
class SineDerivative(Problem):
    """The derivative of sin at ``points`` points."""

    points: int
    dtype: str = "float32"

    steps: int = 50
    """Derivatives in one call; one takes half a microsecond."""

    family = "derivative"
    functions = frozenset(("sin", "cos"))
    least_others = 1.0

    @property
    def name(self) -> str:  # type: ignore[override]  # made from the size, so it cannot be set
        """As in case ids."""
        return f"sine_derivative_{self.points}"

    def with_steps(self, steps: int) -> "SineDerivative":
        """Return the first ``steps`` derivatives."""
        return replace(self, steps=steps)

    def gradient_problem(self) -> "SineDerivative":
        """Return this problem: its output is the derivative."""
        return self

    def gradients_shown(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """Return the outputs."""
        return outputs

    def curve(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """Return the points of the first derivative, their sines and the derivative."""
        x = inputs["x"][0].astype(np.float64)
        return {"x": x, "y": np.sin(x), "derivative": outputs["grad_x"][0]}

    def inputs(self, seed: int, dtype: str) -> Arrays:
        """Return ``x`` (steps, points), each row a little to the right of the last. The seed is not used."""
        x, distance = np.linspace(-2 * np.pi, 2 * np.pi, self.points, retstep=True)
        return frozen({"x": x + distance * np.arange(self.steps)[:, None] / self.steps}, dtype)

    def reference(self, inputs: Arrays) -> Arrays:
        """Return the cosine in float64: ``grad_x`` (steps, points)."""
        return {"grad_x": np.cos(inputs["x"][: self.steps].astype(np.float64))}

    def work(self, dtype: str) -> Work:
        """Count one cosine for each point; the points are read, the derivatives written."""
        return Work(0, self.points, np.dtype(dtype).itemsize * 2 * self.points)


PROBLEMS: tuple[Problem, ...] = (SineDerivative(100),)
