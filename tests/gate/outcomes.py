"""Outcomes of the gate, made by hand for its tests."""

import math
from dataclasses import replace

from gradperf.gate.decision.findings import Control, Finding, Outcome

FRAMEWORKS = ("numpy", "torch", "tensorflow", "jax")
PLAN = {"alpha": 0.01, "min_effect": 0.01, "equivalence": 0.03, "screen": 8, "confirm": 24}
ENVIRONMENT = {
    "base": "2e2f51d (merge base with main)",
    "head": "97a6d8c",
    "command": ["gradperf", "gate", "perf", "--seed", "7"],
    "versions": {"numpy": "2.4.6"},
}


def name(number):
    """Return an id like those of this suite."""
    framework = FRAMEWORKS[number % 4]
    return f"perf/test_training.py::test_training[two_layer_784x{number + 10}x10-{framework}.by_hand-cpu-float64]"


def case(number=0, verdict="unchanged", ratio=1.002, spread=0.012, **facts):
    """Return a case measured in 8 pairs; ``spread`` is half the width of its interval of log-ratios."""
    measured = {
        "ratio": ratio,
        "ci_low": ratio * math.exp(-spread),
        "ci_high": ratio * math.exp(spread),
        "p_adjusted": 1.0,
        "pairs": 8,
        "smallest_visible_change": 0.02 + 0.001 * (number % 10),
        "base_s": 1.25e-3,
        "head_s": 1.25e-3 * ratio,
        "screened": (math.log(ratio),) * 8,
    }
    return Finding(id=name(number), verdict=verdict, group=FRAMEWORKS[number % 4], **(measured | facts))


def untimed(number, verdict, **facts):
    """Return a case that has no timings."""
    return Finding(id=name(number), verdict=verdict, group=FRAMEWORKS[number % 4], **facts)


def slow(number=0, ratio=1.07, **facts):
    """Return a proven slowdown."""
    measured = {"p_adjusted": 0.0004, "pairs": 24, "spread": 0.019, "confirmed": (math.log(ratio),) * 24}
    return case(number, "regressed", ratio, **(measured | facts))


def cases(count=40, *others):
    """Return unchanged cases, and others in place of the first of them."""
    return (*others, *(case(number) for number in range(len(others), count)))


def groups(verdict="unchanged", ratio=1.001):
    """Return the groups of the suite and the group of all; the first has ``verdict``."""
    return tuple(
        replace(
            case(0, verdict if index == 0 else "unchanged", ratio if index == 0 else 1.0, spread=0.004),
            id=id_,
            group="",
            p_adjusted=0.0003 if verdict == "regressed" and index == 0 else 1.0,
            base_s=None,
            head_s=None,
        )
        for index, id_ in enumerate((*FRAMEWORKS, "all"))
    )


def control(effect=0.0, result="passed", ratio=None):
    """Return a control, which passed by default."""
    ratio = ratio or 1 + effect
    return Control(
        name="planted slowdown" if effect else "base against base",
        case=name(3),
        effect=effect,
        result=result,
        ratio=ratio,
        ci_low=ratio - 0.011,
        ci_high=ratio + 0.011,
        p=0.0002 if effect or result == "failed" else 0.9,
        values=(math.log(ratio),) * 8,
    )


UNCHANGED = cases()
CONTROLS = (control(), control(0.05))


def outcome(verdict="unchanged", cases=None, **facts):
    """Return an outcome; the exit code is 1 if the verdict stops the change."""
    known = {
        "exit_code": 0 if verdict in ("unchanged", "improved", "identical") else 1,
        "groups": (),
        "controls": CONTROLS,
        "warnings": (),
        "plan": PLAN,
        "seed": 7,
        "environment": ENVIRONMENT,
    }
    return Outcome(verdict=verdict, cases=UNCHANGED if cases is None else tuple(cases), **(known | facts))


CRASH = "the worker of the head was killed by signal 9\nTraceback (most recent call last):\n  …"

EVERY = {
    "unchanged": outcome(groups=groups()),
    "one regression": outcome("regressed", cases(40, slow(), case(1, "inconclusive", 1.03, 0.05)), groups=groups()),
    "group": outcome(
        "regressed",
        [
            case(number, "unchanged" if number % 4 else "inconclusive", 1 if number % 4 else 1.02)
            for number in range(40)
        ],
        groups=groups("regressed", 1.021),
    ),
    "untrusted": outcome(
        "untrusted", cases(40, slow()), controls=(control(result="failed", ratio=1.06), control(0.05))
    ),
    "different": outcome(
        "untrusted", cases(40, untimed(0, "different", reason="results differ by 3e-3, bound 1e-9: loss"))
    ),
    "incomplete": outcome(
        "incomplete",
        cases(40, *(untimed(number, "failed", reason=CRASH) for number in range(3)), untimed(3, "removed")),
        warnings=("The host took 7 % of the CPU time (steal).",),
    ),
    "nothing": outcome("incomplete", (), controls=()),
    "inconclusive": outcome(
        "inconclusive",
        cases(
            40,
            *(case(number, "inconclusive", 1.0 + number / 300, 0.06) for number in range(12)),
            *(case(number, "unstable", 1.05, 0.3, smallest_visible_change=0.4) for number in range(12, 14)),
        ),
        controls=(control(), control(0.05, "not seen")),
    ),
    "improved": outcome("improved", cases(40, case(0, "improved", 0.8, p_adjusted=1.0), untimed(1, "new"))),
    "group improved": outcome("improved", groups=groups("improved", 0.975)),
    "identical and new": outcome(
        "identical", [untimed(0, "new"), *(untimed(number, "identical") for number in range(1, 20))], controls=()
    ),
    "regression and crash": outcome("regressed", cases(40, slow(), untimed(1, "failed", reason=CRASH))),
    "identical": outcome("identical", [untimed(number, "identical") for number in range(40)], controls=()),
    "suspect": outcome("suspect", cases(40, case(0, "suspect", 1.03, pairs=48, p_adjusted=0.02)), groups=groups()),
    "group suspect": outcome("suspect", groups=groups("suspect", 1.02)),
    "nothing shown": outcome(
        "inconclusive",
        cases(40, case(0, "improved", 0.8)),
        controls=(control(), control(0.05, "not seen", 1.6)),
        exit_code=0,
    ),
    "not the work": outcome("untrusted", controls=(control(), control(0.05, "failed", 20.9))),
    "two speeds": outcome(
        cases=cases(5, case(0, modes="in 4 of 32 processes the base was 1.7× slower than in the others"))
    ),
    "accepted": outcome("unchanged", cases(5, slow(accepted="a stricter check of the shapes"))),
}
