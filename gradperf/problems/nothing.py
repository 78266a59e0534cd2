"""A problem without work: its time is that of the harness, on the path that every case takes."""

from dataclasses import dataclass

from gradperf.problems.problem import Arrays, Problem, Work

BASELINE = "numpy.empty"


@dataclass(frozen=True)
class Nothing(Problem):
    """No inputs, no outputs, no work."""

    name: str = "nothing"
    dtype: str = "float64"

    family = "nothing"

    def inputs(self, seed: int, dtype: str) -> Arrays:
        """Return no arrays."""
        return {}

    def reference(self, inputs: Arrays) -> Arrays:
        """Return no arrays."""
        return {}

    def work(self, dtype: str) -> Work:
        """Return no operations and no bytes."""
        return Work(0, 0, 0)


PROBLEMS: tuple[Problem, ...] = (Nothing(),)
