"""Faults of timing and of the comparison of runs: each rule is broken once, in a copy, and a test goes red.

Only the tests that prove the rule are run with the copy, and they are the ones that must fail.
"""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import gradperf
from correctness.planted import ROOT, planted_package


@dataclass(frozen=True)
class Broken:
    """A rule that one line breaks, and the tests that must notice: a file, and an expression for ``-k``."""

    what: str
    file: str
    right: str
    wrong: str
    tests: str
    expression: str

    @property
    def id(self):
        """Return its name in a test id."""
        return self.what


LENGTHS, MOMENT, PLAN = "timing/lengths.py", "timing/moment.py", "timing/plan.py"
ESTIMATE, CHANGES, CPU = "timing/estimate.py", "comparison/changes.py", "pairs/child/cpu.py"
CONDITIONS = "records/conditions.py"

FAULTS = [
    Broken(
        "calls of all steps: lengths are not chosen",
        LENGTHS,
        "    one_s = _fastest_s(call, 1, cpu)\n",
        "    one_s = 1.0\n    return Lengths(most, None)\n",
        "test_timing_lengths",
        "about_a_millisecond",
    ),
    Broken(
        "one length of call: what a call pays once is part of its steps",
        LENGTHS,
        "    return Lengths(long, max(1, long // 10))",
        "    return Lengths(long, None)",
        "test_timing_lengths",
        "about_a_millisecond",
    ),
    Broken(
        "the cost of a call is forgotten when its length is chosen",
        LENGTHS,
        "max(one_s - step_s, 0.0), most)",
        "0.0, most)",
        "test_timing_lengths",
        "about_a_millisecond",
    ),
    Broken(
        "the median of a few calls chooses the length",
        LENGTHS,
        "    return min(undisturbed or every)",
        "    return sorted(undisturbed or every)[len(undisturbed or every) // 2]",
        "test_timing_lengths",
        "noise_that_adds_time",
    ),
    Broken(
        "the median of the calls of a moment, not their fast end",
        MOMENT,
        "[min(times_s) for times_s in",
        "[sorted(times_s)[len(times_s) // 2] for times_s in",
        "test_moment",
        "fastest_calls",
    ),
    Broken(
        "disturbed rounds are kept",
        MOMENT,
        "        if preemptions() == taken_away:\n",
        "        if True:\n",
        "test_moment",
        "disturbed_rounds",
    ),
    Broken(
        "lengths one after the other, not in turns",
        MOMENT,
        "tuple(_time_s(call, steps) for steps in lengths.each)",
        "tuple(min(_time_s(call, steps) for _ in range(2)) for steps in lengths.each)",
        "test_moment",
        "turns",
    ),
    Broken(
        "a moment without an end",
        MOMENT,
        "PATIENCE * seconds",
        "100 * PATIENCE * seconds",
        "test_moment",
        "busy_machine",
    ),
    Broken("garbage is collected", MOMENT, "    gc.disable()\n", "", "test_moment", "garbage"),
    Broken("threads stay on one CPU", CPU, "        affinity.release()", "        pass", "test_moment", "one_cpu"),
    Broken(
        "undisturbed rounds on one CPU displace all others",
        MOMENT,
        "return self.kept or self.disturbed",
        "return self.kept",
        "test_moment",
        "all_were_disturbed",
    ),
    Broken(
        "the slower reference",
        MOMENT,
        "min(before_s, reference_s())",
        "max(before_s, reference_s())",
        "test_moment",
        "faster_reference",
    ),
    Broken(
        "one moment alone",
        PLAN,
        '((0.25, "second"), (0.5, "main"), (0.75, "second"))',
        "()",
        "test_plan",
        "later_moments or no_moment",
    ),
    Broken(
        "one process alone",
        PLAN,
        '(0.25, "second"), (0.5, "main"), (0.75, "second")',
        '(0.25, "main"), (0.5, "main"), (0.75, "main")',
        "test_plan",
        "later_moments",
    ),
    Broken(
        "all moments of a case in a row",
        PLAN,
        '(0.25, "second"), (0.5, "main"), (0.75, "second")',
        '(0.0, "second"), (0.0, "main"), (0.0, "second")',
        "test_plan",
        "spread or quarter",
    ),
    Broken(
        "the median of the moments, not the fastest",
        ESTIMATE,
        "    long_s = min(moment.long_s for moment in moments)",
        "    long_s = sorted(moment.long_s for moment in moments)[len(moments) // 2]",
        "test_estimate",
        "own_length or both_lengths or speed_of_its_own",
    ),
    Broken(
        "the reference is ignored in a run",
        ESTIMATE,
        "[moment for moment in moments if moment.reference_s <= SLOW * reference_s]",
        "[*moments]",
        "test_estimate",
        "slow_minute",
    ),
    Broken(
        "the interval has only what the moments have in common",
        ESTIMATE,
        "math.hypot(HIDDEN_ERROR * _difficulty(used, call_s), SPREAD_SHARE * _spread(used, long, short))",
        "HIDDEN_ERROR",
        "test_estimate",
        "do_not_agree or busy_neighbour or one_length",
    ),
    Broken(
        "a small difference of two long calls is as sure as a large one",
        ESTIMATE,
        "leverage(long_s, short_s) / USUAL_LEVERAGE",
        "1.0",
        "test_estimate",
        "pays_more_once",
    ),
    Broken(
        "a long call is as sure as a short one",
        ESTIMATE,
        "min(max(1.0, long_s / LONG_CALL_S), MOST_FOR_LENGTH)",
        "1.0",
        "test_estimate",
        "length_of_calls",
    ),
    Broken(
        "a short call that cannot be true is believed",
        ESTIMATE,
        "if not short_s / short >= step_s > 0:",
        "if False:",
        "test_estimate",
        "cannot_be_true or nonsense",
    ),
    Broken(
        "the reference is ignored between runs",
        CHANGES,
        "SLOWER_MACHINE = 1.03",
        "SLOWER_MACHINE = 1e9",
        "test_changes",
        "slower_machine",
    ),
    Broken(
        "each interval for itself, however many cases a run has",
        CHANGES,
        "FALSE_ALARMS / max(1, cases)",
        "FALSE_ALARMS",
        "test_changes",
        "no_alarm",
    ),
    Broken(
        "the error of the other run is forgotten",
        CHANGES,
        "math.hypot(*known, ",
        "math.hypot(*known[1:], ",
        "test_changes",
        "no_alarm",
    ),
    Broken(
        "the error of the baseline is forgotten",
        CHANGES,
        "_Scale(one.step_s, one.facts.step_error) if",
        "_Scale(one.step_s, 0.0) if",
        "test_changes",
        "two_machines",
    ),
    Broken(
        "the lengths of the calls do not matter",
        CHANGES,
        "0.0 if same_calls else LENGTHS_ERROR",
        "0.0",
        "test_changes",
        "other_lengths",
    ),
    Broken(
        "a partial run is taken as the last one",
        CONDITIONS,
        "    if run.partial:\n",
        "    if False:\n",
        "test_history",
        "another_run_is_passed_over and partial",
    ),
    Broken(
        "intervals so wide that nothing is found",
        CHANGES,
        "FALSE_ALARMS = 0.01",
        "FALSE_ALARMS = 1e-12",
        "test_changes",
        "are_found",
    ),
]


def run_tests(folder, tests, expression):
    """Run tests with the package in ``folder``, not the installed one; return the exit code and the output."""
    first = [str(folder), str(Path(gradperf.__file__).parent.parent)]
    command = [sys.executable, "-m", "pytest", str(ROOT / "tests" / f"{tests}.py"), "-k", expression]
    command += ["-q", "--tb=line", "-p", "no:cacheprovider", "-o", f"pythonpath={shlex.join([*first, str(ROOT)])}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*first, os.environ.get("PYTHONPATH", "")])}
    # A copy must not write into the checkout, and Hypothesis keeps examples in the working directory.
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.planted_fault
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_test_goes_red(fault, tmp_path):
    """With the rule broken, a test that proves it fails."""
    planted_package(fault, tmp_path)
    code, printed = run_tests(tmp_path, fault.tests, fault.expression)
    assert code == pytest.ExitCode.TESTS_FAILED, printed
    assert "error" not in printed.splitlines()[-1], printed


def test_without_a_fault_they_are_green(tmp_path):
    """All tests that must notice pass with a copy in which a comment alone is changed."""
    right = '"""The steps of a long call and of a short one."""'
    planted_package(Broken("nothing", LENGTHS, right, right.replace("and", "and,"), "", ""), tmp_path)
    for tests in dict.fromkeys(fault.tests for fault in FAULTS):
        expression = " or ".join(f"({fault.expression})" for fault in FAULTS if fault.tests == tests)
        code, printed = run_tests(tmp_path, tests, expression)
        assert code == pytest.ExitCode.OK, printed
