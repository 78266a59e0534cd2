"""A hook of mkdocs: writes the pages of the reference from the code, so that they cannot be wrong."""

import argparse
import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from mkdocs.structure.files import File

from gradperf.commands import compare, main
from gradperf.gate.decision import judge
from gradperf.gate.report.record import SCHEMA_FILE
from gradperf.records import facts, one_run
from gradperf.suite import plugin
from gradperf.timing import moment


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Add the pages."""
    for name, text in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(text())))
    return files


class Options:
    """Stands in for a parser of argparse or a group of pytest, and keeps what is added to it."""

    def __init__(self, name: str = "", *, usage: str = "", help: str = "", epilog: str = "") -> None:  # noqa: A002
        self.name, self.help, self.epilog = name, help, epilog
        self._usage = usage
        self._parser = argparse.ArgumentParser(add_help=False)
        self.actions: list[argparse.Action] = []

    def add_argument(self, *names: str, **settings: Any) -> None:
        """Keep an option or an argument, as argparse understands it."""
        self.actions.append(self._parser.add_argument(*names, **settings))

    addoption = add_argument

    def getgroup(self, *_: str) -> "Options":
        """Return the group of pytest to which a plugin adds its options."""
        return self

    def set_defaults(self, **_: Any) -> None:
        """Ignore the function of a command."""

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield each option with its value, and its help."""
        for action in self.actions:
            value = "" if action.nargs == 0 else str(action.metavar or "/".join(action.choices or ()))
            shown = " ".join(filter(None, (*action.option_strings, value)))
            yield f"`{shown}`", _cell((action.help or "") % {"default": action.default})

    @property
    def usage(self) -> str:
        """How the command is called, without its options."""
        forms = {"?": "[{0}]", "+": "{0} [{0} ...]"}
        own = (forms.get(str(a.nargs), "{0}").format(a.metavar) for a in self.actions if not a.option_strings)
        return self._usage or " ".join(("gradperf", self.name, *own, "[OPTION ...]"))


def _cell(text: str) -> str:
    """Return a text for a cell of a table, in which every character is itself."""
    escaped = {"<": "&lt;"} | {letter: f"\\{letter}" for letter in "|*_"}
    return "".join(escaped.get(letter, letter) for letter in " ".join(text.split()))


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def _of_pytest() -> Iterator[str]:
    options = Options()
    plugin.pytest_addoption(options)  # type: ignore[arg-type]
    yield "# Options of `pytest perf`\n"
    yield "`pytest correctness` has them too. [Running the suite](../running.md) shows them at work.\n"
    yield from _table(("option", "what it does"), options.rows())
    yield "Options of pytest and of pytest-benchmark work as they define them. The suite's own settings of these"
    yield "are in `pyproject.toml`. `--benchmark-compare` takes"
    yield "[more names of runs](../../results/README.md#which-run-is-compared-with)."


def commands() -> list[Options]:
    """Return every command with its options."""
    found: list[Options] = []

    def add_parser(name: str, **words: str) -> Any:
        found.append(Options(name, **words))
        return found[-1]

    for command in main.COMMANDS:
        command.add(add_parser)
    return found


def _of_commands() -> Iterator[str]:
    yield "# Commands\n"
    yield "`gradperf COMMAND --help` prints the same. [Exit codes](exit-codes.md) have a page of their own.\n"
    for command in commands():
        yield f"## gradperf {command.name}\n"
        yield f"{_sentence(command.help)}\n"
        yield f"```text\n{command.usage}\n```\n"
        if command.epilog:
            yield f"{_cell(command.epilog)}\n"
        yield from _table(("option", "what it does"), command.rows())


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('?', '.')) else '.'}"


def _exit_codes() -> Iterator[str]:
    strict = {"inconclusive": f"; {judge.STRICT_EXIT_CODE} with `--strict`"}
    yield "# Exit codes\n"
    yield "## The gate\n"
    yield "`gradperf gate` and `gradperf upgrade`. [What the verdicts mean](../gate.md#verdicts-and-exit-codes).\n"
    rows = ((f"`{verdict}`", f"{code}{strict.get(verdict, '')}") for verdict, code in judge.EXIT_CODES.items())
    yield from _table(("the run is", "exit code"), rows)
    yield "## Every command\n"
    yield from _table(
        ("exit code", "because"),
        iter(
            [
                ("0", "the command did what it was asked"),
                ("2", "a mistake in the command, or in a file that it reads, or a file that cannot be written"),
                (str(compare.SLOWER), "a case is slower: `gradperf compare --fail`, and the gate as above"),
                ("130, 143", "interrupted, by Ctrl-C or by SIGTERM"),
            ]
        ),
    )
    yield "## `pytest perf`\n"
    yield "Those of [pytest](https://docs.pytest.org/en/stable/reference/exit-codes.html). A case that fails a"
    yield "check is an error: 1. A name that does not exist, or that cannot run here, is a usage error: 4."
    yield "A run that was measured and could not be saved in its folder is not 0."


def _records() -> Iterator[str]:
    yield "# Records\n"
    yield "## A run of `pytest perf`\n"
    yield f"One JSON file in `results/`, with `schema` {facts.SCHEMA}. The file is pytest-benchmark's. What is not"
    yield "known is null. [Recorded runs](../../results/README.md) says how they are saved, found and compared.\n"
    yield "### Of the run: `gradperf`\n"
    yield from _fields(facts, "RunFacts")
    yield "### Of each timing: `benchmarks[…].extra_info`\n"
    yield from _fields(facts, "Facts")
    yield "### Of each moment: `moments[…]`\n"
    yield from _fields(moment, "Moment")
    yield "## One case: `gradperf run --json`\n"
    yield "`gradperf report FILE` draws its losses and its curve. Arrays are nested lists.\n"
    yield from _fields(one_run, "OneRun")
    yield "## A run of the gate\n"
    schema = json.loads(SCHEMA_FILE.read_text())
    yield f"What `gradperf gate --json FILE` writes, with `schema` {schema['properties']['schema']['const']}. The"
    yield "[JSON schema](../../gradperf/gate/report/record.schema.json) has the exact types.\n"
    yield from _properties(schema, schema["$defs"])
    for title, name in (("Each of `cases` and `groups`", "finding"), ("Each of `controls`", "control")):
        yield f"### {title}\n"
        yield from _properties(schema["$defs"][name], schema["$defs"])


def _fields(module: ModuleType, name: str) -> Iterator[str]:
    """Yield the table of a dataclass: its fields, their types, and the texts below them."""
    tree = ast.parse(inspect.getsource(module))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    rows = []
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = (
                below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            )
            rows.append((f"`{node.target.id}`", _type(node.annotation), _roles(str(text))))
    yield from _table(("key", "type", "what it is"), iter(rows))


_TYPES = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "None": "null", "Any": "any"}


def _type(node: ast.expr) -> str:
    """Return the name of a type in JSON."""
    match node:
        case ast.BinOp(left, _, right):
            return f"{_type(left)} or {_type(right)}"
        case ast.Subscript(ast.Name("tuple"), ast.Tuple([one, *_])):
            return f"list of {_type(one)}"
        case ast.Subscript(ast.Name("Mapping"), _):
            return "object"
        case ast.Subscript(ast.Name("Literal"), value):
            return ast.unparse(value)
    return _TYPES.get(ast.unparse(node), "text")


def _roles(text: str) -> str:
    """Return a docstring without the roles of Sphinx, in one line."""
    for role in (":mod:", ":class:", ":func:", ":data:"):
        text = text.replace(role, "")
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def _properties(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of an object of a JSON schema."""
    rows = []
    for key, own in schema["properties"].items():
        one = definitions.get(own.get("$ref", "").rpartition("/")[2], {}) | own
        rows.append((f"`{key}`", _json_type(one), _cell(one.get("description", ""))))
    yield from _table(("key", "type", "what it is"), iter(rows))


def _json_type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kinds = schema.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


PAGES = {"pytest": _of_pytest, "commands": _of_commands, "exit-codes": _exit_codes, "records": _records}
