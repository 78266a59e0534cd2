"""``gradperf explain``: what a style, problem, column, verdict or exit code is, from where it is defined."""

import argparse
from collections.abc import Iterator, Mapping
from textwrap import wrap

from gradperf.commands import AddParser, compare
from gradperf.comparison import table
from gradperf.errors import unknown
from gradperf.gate.decision import findings
from gradperf.text.table import Terminal


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser("explain", help="say what a style, problem, column, verdict or exit code is")
    parser.add_argument("name", metavar="NAME", nargs="*", help="such as torch.autograd, '× base', suspect or 13")
    parser.set_defaults(command=explain)


def explain(parsed: argparse.Namespace) -> int:
    """Print what the name means; without one, what can be explained."""
    print("\n".join(lines(" ".join(parsed.name), Terminal.of_output())))
    return 0


def lines(name: str, terminal: Terminal) -> list[str]:
    """Return what the name means, wherever it means something; without one, what can be explained."""
    from gradperf.gate.decision import judge  # it imports numpy, as problems do

    known = {
        "style": dict(_styles()),
        "problem": dict(_problems()),
        "column": table.explained(),
        "verdict of the gate": findings.MEANING,
        "exit code": dict(_exit_codes(judge.EXIT_CODES)),
    }
    if not name:
        return [line for kind, texts in known.items() for line in terminal.wrap(f"{kind}: {', '.join(texts)}")]
    found = {kind: texts[name] for kind, texts in known.items() if name in texts}
    if not found:
        # People write the name of a style, or of a column, without what stands before it.
        found = {
            f"{kind} {full}": text
            for kind, texts in known.items()
            for full, text in texts.items()
            if name == full.rpartition(".")[2] or name == full.strip("× {}")
        }
    if not found:
        raise unknown(
            "name", name, [one for texts in known.values() for one in texts], listed_by="gradperf explain"
        )
    shown: list[str] = []
    for kind, text in found.items():
        shown += [*([""] if shown else []), terminal.plain(f"{name}, {kind}" if kind in known else kind)]
        for paragraph in text.split("\n\n"):
            shown += ["", *_wrapped(paragraph, terminal)]
    return shown


def _wrapped(paragraph: str, terminal: Terminal) -> Iterator[str]:
    """Yield the lines of a paragraph; those of a list keep their own lines."""
    lines = paragraph.split("\n")
    if any(line.startswith((" ", "- ")) for line in lines):
        for line in lines:
            yield from wrap(
                terminal.plain(line), terminal.line_width, subsequent_indent="  ", break_on_hyphens=False
            )
    else:
        yield from wrap(terminal.plain(" ".join(lines)), terminal.line_width, break_on_hyphens=False)


def _styles() -> Iterator[tuple[str, str]]:
    """Yield each style with the docstrings of its files, without importing a framework."""
    from gradperf import frameworks, problems

    described: dict[str, list[str]] = {}
    for framework in frameworks.names():
        for family in problems.families():
            for style in frameworks.styles(framework, family):
                text = frameworks.source(framework, family, style).doc
                described.setdefault(f"{framework}.{style}", []).append(f"For {family}: {text}")
    for label, texts in described.items():
        yield label, "\n\n".join(texts)


def _problems() -> Iterator[tuple[str, str]]:
    """Yield each problem with what it takes, and what its family is."""
    from importlib import import_module

    from gradperf import problems

    for problem in problems.entries():
        quick, work = problem.at_tier("quick"), problem.work(problem.dtype)
        facts = (
            f"{problem.steps:,} steps as published, {quick.steps:,} by default, in {problem.dtype}. A step takes "
            f"{work.flops:,} operations, {work.product_flops:,} of them in matrix products, and moves at least "
            f"{work.bytes:,} bytes. The baseline is {problems.baseline_of(problem.name)}."
        )
        family = import_module(f"gradperf.problems.{problem.family}").__doc__ or ""
        yield problem.name, f"{facts}\n\nIts family, {problem.family}: {family.strip()}"


def _exit_codes(codes: Mapping[findings.Overall, int]) -> Iterator[tuple[str, str]]:
    """Yield each exit code of the commands, with what it says; of the gate by its verdicts."""
    yield "2", "The command was used wrongly, or something that it needs is missing; the message says what."
    yield "130", "It was interrupted."
    for code in sorted(set(codes.values())):
        verdicts = [verdict for verdict, own in codes.items() if own == code]
        text = " ".join(f"{verdict}: {findings.MEANING[verdict]}." for verdict in verdicts)
        more = " Of `gradperf compare --fail`: a case is slower." if code == compare.SLOWER else ""
        yield str(code), f"Of the gate: {text}{more}" + (" Of other commands: all went well." if code == 0 else "")
