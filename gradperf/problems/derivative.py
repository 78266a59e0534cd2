"""Derivatives with a known answer: d sin(x)/dx = cos(x) at points evenly spaced on [−2π, 2π].

One derivative is over before a clock is read, so one call makes several, each at points of its own: none can be
left out, or taken from another.
"""

from dataclasses import dataclass

import numpy as np

from gradperf.problems import Arrays, Problem, Work, frozen

BASELINE = "numpy.analytic"


@dataclass(frozen=True)
class SineDerivative:
    """The derivative of sin at ``points`` points."""

    points: int
    dtype: str = "float32"

    family = "derivative"
    steps = 50
    """Derivatives in one call: one alone is over in half a microsecond."""

    @property
    def name(self) -> str:
        """As it stands in case ids."""
        return f"sine_derivative_{self.points}"

    def at_tier(self, tier: str) -> "SineDerivative":
        """Give the same problem: its size is in its name."""
        return self

    def gradient_problem(self) -> "SineDerivative":
        """The derivative is the answer itself."""
        return self

    def probe(self) -> "SineDerivative":
        """Give the same problem."""
        return self

    def gradients_shown(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """Give the answer."""
        return outputs

    def rehearsal(self) -> None:
        """Nothing is hidden."""

    def inputs(self, seed: int, dtype: str) -> Arrays:
        """Give ``x`` (steps, points), each row a little further on than the last; nothing is drawn."""
        x, distance = np.linspace(-2 * np.pi, 2 * np.pi, self.points, retstep=True)
        return frozen({"x": x + distance * np.arange(self.steps)[:, None] / self.steps}, dtype)

    def reference(self, inputs: Arrays) -> Arrays:
        """Give the cosine in float64: ``grad_x`` (steps, points)."""
        return {"grad_x": np.cos(inputs["x"].astype(np.float64))}

    def work(self, dtype: str) -> Work:
        """One cosine for each point; the points are read, the derivatives written."""
        return Work(0, self.points, np.dtype(dtype).itemsize * 2 * self.points)


PROBLEMS: tuple[Problem, ...] = (SineDerivative(100),)
