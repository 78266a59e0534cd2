"""``gradperf explain`` finds what a name means, from where it is defined."""

import pytest

from gradperf import frameworks, problems
from gradperf.gate.decision.findings import MEANING
from gradperf.gate.decision.judge import EXIT_CODES

ALL = [
    *(
        f"{framework}.{style}"
        for framework in frameworks.names()
        for style in frameworks.styles(framework, "training")
    ),
    *(problem.name for problem in problems.entries()),
    *MEANING,
    *map(str, EXIT_CODES.values()),
    *("× base", "base", "even at", "peak%", "autograd", "130"),
]


@pytest.fixture(scope="module")
def explained():
    """Return ``explained(name)``: the exit code and what is printed, without a new process for each name."""
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    from gradperf.commands import main

    def run(*words):
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main.main(["explain", *words])
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.mark.parametrize("name", dict.fromkeys(ALL))
def test_every_name_is_explained(explained, name):
    """In a few lines of at most 80 columns, the name first."""
    code, out, err = explained(*name.split())
    assert (code, err) == (0, "")
    first, empty, *text = out.splitlines()
    assert name.replace("×", "x") in first
    assert empty == ""
    assert len(" ".join(text)) > 10
    assert all(len(line) <= 80 for line in out.splitlines())


def test_what_it_says(explained):
    """The docstring of a style, the counts of a problem, the verdicts of an exit code."""
    assert "the backward pass by autograd" in " ".join(explained("torch.autograd")[1].split())
    assert "2,304 of them in matrix products" in " ".join(explained("tiny_3x2x1")[1].split())
    assert "regressed: slower by more than" in explained("10")[1]
    assert "`gradperf compare --fail`" in " ".join(explained("10")[1].split())


def test_a_wrong_name(explained):
    """The nearest names are named, and where all are listed."""
    code, out, err = explained("torch.autograt")
    assert (code, out) == (2, "")
    assert "Did you mean 'torch.autograd'" in err
    assert "`gradperf explain` lists all" in err
    code, out, _ = explained()
    assert code == 0
    assert all(f"{kind}: " in out for kind in ("style", "problem", "column", "verdict of the gate", "exit code"))
