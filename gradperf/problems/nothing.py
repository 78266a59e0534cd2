"""The problem of doing nothing: what is timed is the harness itself, through the path that every case takes."""

from dataclasses import dataclass

from gradperf.problems import Arrays, Problem, Work

BASELINE = "numpy.empty"


@dataclass(frozen=True)
class Nothing:
    """No inputs, no outputs, no work."""

    name: str = "nothing"
    dtype: str = "float64"

    family = "nothing"
    steps = 1

    def at_tier(self, tier: str) -> "Nothing":
        """Give the same problem."""
        return self

    def gradient_problem(self) -> None:
        """Nothing is differentiated."""

    def probe(self) -> "Nothing":
        """Give the same problem."""
        return self

    def gradients_shown(self, inputs: Arrays, outputs: Arrays) -> Arrays:
        """There are none."""
        return {}

    def rehearsal(self) -> None:
        """Nothing is hidden."""

    def inputs(self, seed: int, dtype: str) -> Arrays:
        """There are none."""
        return {}

    def reference(self, inputs: Arrays) -> Arrays:
        """There is nothing to hand back."""
        return {}

    def work(self, dtype: str) -> Work:
        """None."""
        return Work(0, 0, 0)


PROBLEMS: tuple[Problem, ...] = (Nothing(),)
