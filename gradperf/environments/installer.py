"""Installs requirements into an environment: by uv if it is there, else by pip, and by pip if uv cannot.

Where variables tell pip alone where packages come from, only pip is asked: uv would take other builds.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradperf.errors import UserError
from gradperf.gate.sides.activation import activated

_ELSEWHERE = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH")
"""Variables with which pip would install elsewhere, or take what lies elsewhere for installed."""

_SOURCES = ("FIND_LINKS", "INDEX_URL", "EXTRA_INDEX_URL", "DEFAULT_INDEX", "INDEX", "NO_INDEX", "CONFIG_FILE")
"""Names of variables, after ``PIP_`` or ``UV_``, that say where packages come from."""

NO_NETWORK = "the package index cannot be reached; is there a network?"

_UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Failed to establish|ProxyError|"
    r"name resolution|dns error|error sending request|tcp connect error|Could not connect|Network is unreachable",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Tool:
    """A program that installs."""

    name: str
    command: tuple[str, ...]


def install(python: Path, requirements: Sequence[str], *, has_pip: bool, say: Callable[[str], None]) -> None:
    """Install into the environment of ``python``, which ``has_pip`` or not; raise UserError if no tool can."""
    failures: list[UserError] = []
    with tempfile.TemporaryDirectory() as folder:
        for tool in _tools(python, Path(folder), has_pip=has_pip):
            if failures:
                say(f"uv cannot: {failures[0]}; trying {tool.name}")
            say(f"installing {' '.join(requirements)} with {tool.name}")
            try:
                _run(tool, python, requirements)
                return
            except UserError as error:
                failures.append(error)
    if not failures:
        raise UserError(
            "neither uv nor pip was found, so nothing can be installed; install uv, or pip in the project's "
            "environment"
        )
    # Without a network, pip may say instead that there is no such version.
    raise next((failure for failure in failures if NO_NETWORK in str(failure)), failures[-1])


def _tools(python: Path, folder: Path, *, has_pip: bool) -> Iterator[Tool]:
    """Yield what can install, best first; ``folder`` is empty."""
    # `uvx` names uv in a variable. pip compiles what it installs; else each process of the gate would.
    name = os.environ.get("UV") or shutil.which("uv")
    uv = Tool("uv", (name, "pip", "install", "--compile-bytecode", "--python", str(python))) if name else None
    is_told_to_pip = _says_where("PIP_") and not _says_where("UV_")
    if uv and not is_told_to_pip:
        yield uv
    if command := _pip(python, folder, has_pip=has_pip):
        yield Tool("pip", (*command, "install", "--no-input"))
    elif uv and is_told_to_pip:
        yield uv


def _pip(python: Path, folder: Path, *, has_pip: bool) -> tuple[str, ...]:
    """Return the command of pip: that of the environment, our own, or one that comes with Python; or nothing."""
    if has_pip:
        return (str(python), "-m", "pip")
    own = Path(sys.executable)
    if _runs(own, "-m", "pip", "--version"):
        return (str(own), "-m", "pip", "--python", str(python))
    if _runs(python, "-m", "venv", str(folder)):
        return (str(folder / "bin" / "python"), "-m", "pip", "--python", str(python))
    return ()


def _runs(python: Path, *arguments: str) -> bool:
    command = [str(python), *arguments]
    variables = activated(python, os.environ)
    return subprocess.run(command, capture_output=True, env=variables, check=False).returncode == 0  # noqa: S603


def _run(tool: Tool, python: Path, requirements: Sequence[str]) -> None:
    environment = {n: value for n, value in activated(python, os.environ).items() if n not in _ELSEWHERE}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own installer
            [*tool.command, *requirements],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_plain(environment),
            check=False,
        )
    except OSError as error:
        raise UserError(f"{tool.command[0]} cannot be started: {error.strerror}") from None
    if done.returncode != 0:
        raise UserError(reason(done.stdout))


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables with which a tool writes no colours and asks for no newer version of itself."""
    return {**environment, "NO_COLOR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COLOR": "1"}


def reason(output: str) -> str:
    """Return in one line why an installer failed, and what to do."""
    text = " ".join(re.sub(r"[^\x20-\x7e]", " ", output).split())
    return next((found for found in _reasons(output, text) if found), text[-300:] or "no reason given")


def _reasons(output: str, text: str) -> Iterator[str]:
    """Yield what is wrong, if it is of a known kind."""
    if "No space left on device" in text:
        yield "no space is left on the disk; delete what you do not need, or name another place by XDG_CACHE_HOME"
    if _UNREACHABLE.search(text):
        yield NO_NETWORK
    if found := re.search(r"Invalid requirement:? '?([^'\n]+)'?", output):
        yield f"{found[1]!r} is no requirement; write NAME==VERSION"
    if "ResolutionImpossible" in text or "conflicting dependencies" in text:
        causes = re.search(r"The conflict is caused by:\s*(.*?)\n\s*\n", output, re.DOTALL)
        detail = "; ".join(line.strip() for line in causes[1].splitlines()) if causes else ""
        yield f"the requirements contradict each other{': ' + detail if detail else ''}"
    if found := re.search(r"No matching distribution found for (\S+)", text):
        versions = re.findall(r"from versions: ([^)]*)\)", text)
        known = [version for version in versions[-1].split(", ") if version != "none"] if versions else []
        if known:
            yield f"there is no {found[1]}; the newest versions are {', '.join(known[-5:])}"
        yield f"there is no package for {found[1]} here; is its name spelt right, and is it made for this Python?"
    if found := re.search(r"No solution found[^:]*: (.*)", text):
        yield _shortened(found[1])
    errors = re.findall(r"(?:^|\n)\s*(?:ERROR|error|x):? (.*)", output)
    yield _shortened(" ".join(errors[-1].split())) if errors else ""


def _shortened(text: str, longest: int = 300) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def _says_where(prefix: str) -> bool:
    return any(f"{prefix}{name}" in os.environ for name in _SOURCES)
