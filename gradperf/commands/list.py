"""``gradperf list``: every case, whether it can run here and, if not, why."""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradperf import options
from gradperf.commands import AddParser
from gradperf.commands.preparation import settings
from gradperf.errors import UserError
from gradperf.text.printable import clean
from gradperf.text.quantities import plural
from gradperf.text.table import Terminal

if TYPE_CHECKING:  # it imports numpy, which must wait until the threads are bound
    from gradperf.cases import Case


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("list", help="list all cases, and why some cannot run here")
    options.add(parser.add_argument, ("tier", "threads"))
    parser.add_argument("--flat", action="store_true", help="print one line for each case, with its id")
    parser.add_argument("--json", action="store_true", help="print the cases as JSON")
    parser.set_defaults(command=list_cases)


def list_cases(parsed: argparse.Namespace) -> int:
    """Print every case that the options choose."""
    chosen_settings = settings(parsed)
    from gradperf import cases

    choice = cases.Choice(**options.named(parsed))
    cases.check_names(choice)
    chosen = [(case, cases.obstacle(case, parsed.threads)) for case in cases.chosen(choice, chosen_settings)]
    if not chosen:
        raise UserError("no case has all of these; `gradperf list` without options shows which there are")
    if parsed.json:
        rows = [
            {
                "id": case.id,
                **{axis: case.value(axis) for axis in options.AXES},
                "steps": case.problem.steps,
                "runs_here": reason is None,
                "reason": reason,
            }
            for case, reason in chosen
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if parsed.flat:
        width = max(len(case.id) for case, _ in chosen)
        for case, reason in chosen:
            print(f"{case.id:{width}}  {reason or 'runs here'}")
    else:
        print("\n".join(_matrices(chosen, Terminal.of_output())))
    running = sum(reason is None for _, reason in chosen)
    print(f"{len(chosen)} cases, {running} run here, {len(chosen) - running} do not")
    return 0


def _matrices(chosen: "Sequence[tuple[Case, str | None]]", terminal: Terminal) -> Iterator[str]:
    """Yield a matrix of styles and problems for each family, then why some cases cannot run here."""
    families: dict[str, list[tuple[Case, str | None]]] = defaultdict(list)
    for case, reason in chosen:
        families[case.problem.family].append((case, reason))
    here, not_here = ("+", "-") if terminal.ascii_only else ("●", "·")
    for family, of_family in families.items():
        problems = [*dict.fromkeys(case.problem.name for case, _ in of_family)]
        runs: dict[str, dict[str, bool]] = defaultdict(dict)
        for case, reason in of_family:
            row = runs[f"{case.framework}.{case.style}"]
            row[case.problem.name] = row.get(case.problem.name, False) or reason is None
        width = max(map(len, runs))
        yield f"{family:{width}}  {' '.join(f'{number:2}' for number in range(1, len(problems) + 1))}"
        for style, row in runs.items():
            marks = (here if row[name] else not_here if name in row else " " for name in problems)
            yield f"{style:{width}}  {' '.join(f'{mark:>2}' for mark in marks)}".rstrip()
        yield from terminal.wrap(", ".join(f"{number} {name}" for number, name in enumerate(problems, 1)))
        yield ""
    axes = [" or ".join(dict.fromkeys(case.value(axis) for case, _ in chosen)) for axis in ("device", "dtype")]
    yield from terminal.wrap(
        f"{here} runs here, {not_here} does not. A case is one of these on {axes[0]} in {axes[1]}; "
        f"its id is like {chosen[0][0].id}. --flat lists all ids."
    )
    for reason, count in Counter(reason for _, reason in chosen if reason).most_common():
        yield from terminal.wrap(f"cannot run here: {plural(count, 'case')}: {clean(reason)}")
