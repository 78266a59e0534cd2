"""The scripts that complete the command line, in the shells themselves."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from gradperf import cases
from gradperf.commands import completion, main

BASH = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_gradperf
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# zsh's own names for what is completed are read-only only while it completes.
ZSH = """
compdef() {{ : }}
_files() {{ print -l -- *(N) }}
compset() {{ [[ $2 == '*=' ]] && PREFIX=${{PREFIX#*=}} || PREFIX=${{PREFIX##*,}} }}
compadd() {{ shift; local word; for word; [[ $word == $PREFIX* ]] && print -r -- $word; true }}
source {script}
words=({words})
CURRENT=$#words
PREFIX=$words[CURRENT]
_gradperf
"""

# fish completes a line by itself.
FISH = """
source {script}
complete -C {line}
"""

SHELLS = [
    "bash",
    pytest.param("zsh", marks=pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")),
    pytest.param("fish", marks=pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Return the file of the script for each shell."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in ("bash", "zsh", "fish"):
        (folder / shell).write_text(completion.script(shell, main.COMMANDS))
    return folder


@pytest.fixture
def complete(scripts, tmp_path):
    """Return ``complete(shell, *words)``: what the shell offers for the last word of ``gradperf words…``."""
    (tmp_path / "a file.json").touch()
    (tmp_path / "folder").mkdir()

    def run(shell, *words):
        program = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(
            script=shlex.quote(str(scripts / shell)),
            words=shlex.join(["gradperf", *words]),
            line=shlex.quote(" ".join(["gradperf", *words])),
        )
        options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
        done = subprocess.run(
            [shell, *options, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


WORDS = [
    (("nei",), ["neighbours"]),
    (("run", "tiny_3"), ["tiny_3x2x1"]),
    (("run", "tiny_3x2x1", "torch.auto"), ["torch.autograd"]),
    (("run", "tiny_3x2x1-jax.jit-cpu-"), ["tiny_3x2x1-jax.jit-cpu-float32", "tiny_3x2x1-jax.jit-cpu-float64"]),
    (("pair", "tiny_3x2x1", "numpy.by_hand_"), ["numpy.by_hand_inplace"]),
    (("neighbours", "polynomial"), ["polynomial_degree4"]),
    (("run", "tiny_3x2x1", "--st"), ["--steps"]),
    (("run", "--tier", "q"), ["quick"]),
    (("list", "--framework", "to"), ["torch"]),
    (("list", "--flat", "--problem", "shifted"), ["shifted_relu_784x50x1"]),
    (("list", "--device", "cu"), ["cuda"]),
    (("show", "--format", "mark"), ["markdown"]),
    (("show", "--sort", "first_c"), ["first_call_s"]),
    (("explain", "regr"), ["regressed"]),
    (("completion", ""), ["bash", "zsh", "fish"]),
    (("doctor", "--seconds", ""), []),
    (("doctor", ""), []),
    (("nonsense", ""), []),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("words", "offered"), WORDS, ids=lambda value: " ".join(value))
def test_words(complete, shell, words, offered):
    """Commands, options and their values, and cases by parts of their ids or by whole ids."""
    assert sorted(word for word in complete(shell, *words) if word) == sorted(offered)


def test_values_after_a_comma_or_an_equals_sign(complete):
    """Bash takes ``--tier=quick`` for three words; of names with commas the last is completed."""
    assert complete("bash", "list", "--framework", "numpy,to") == ["numpy,torch"]
    assert complete("bash", "run", "--tier", "=", "q") == ["quick"]
    assert complete("bash", "run", "--tier", "=") == ["short", "quick", "full"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_values_after_a_comma_or_an_equals_sign_in_zsh(complete):
    """There it is one word, and what stands before is kept by the shell."""
    assert complete("zsh", "list", "--framework", "numpy,to") == ["torch"]
    assert complete("zsh", "run", "--tier=q") == ["quick"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
def test_values_after_a_comma_or_an_equals_sign_in_fish(complete):
    """There the whole word is replaced."""
    assert complete("fish", "list", "--framework", "numpy,to") == ["numpy,torch"]
    assert complete("fish", "run", "--tier=q") == ["--tier=quick"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "words",
    [("run", "--json", ""), ("show", ""), ("gate", "--strict", "--", "")],
    ids=lambda words: " ".join(words),
)
def test_files(complete, shell, words):
    """Files, with spaces in their names: of an option, of a run, and of the arguments for pytest."""
    assert sorted(word.rstrip("/") for word in complete(shell, *words)) == ["a file.json", "folder"]


def test_folders(complete):
    """Where no file can be meant."""
    assert complete("bash", "show", "--results", "") == ["folder"]


def test_everything_is_offered(complete, run_gradperf):
    """Each command, each option of each command, and each case."""
    names = re.findall(r"^    ([a-z]+)\b", run_gradperf("--help").stdout, re.MULTILINE)
    assert len(names) == len(main.COMMANDS)
    assert complete("bash", "") == [*names, "--help", "--version"]
    for name in ("gate", "list", "show"):
        options = {*re.findall(r"(?<!\S)--[a-z-]+", run_gradperf(name, "--help").stdout.partition("options:")[2])}
        assert {*complete("bash", name, "--")} == options
    ids = {case.id for case in cases.chosen(cases.Choice(), cases.Settings())}
    assert {*complete("bash", "run", "tiny_3x2x1-")} == {id_ for id_ in ids if id_.startswith("tiny_3x2x1-")}


def test_the_shell_knows_for_what(scripts):
    """The script is for the command ``gradperf``."""
    done = subprocess.run(
        [
            shutil.which("bash"),
            "--norc",
            "-c",
            f"source {shlex.quote(str(scripts / 'bash'))}; complete -p gradperf",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "complete -F _gradperf gradperf\n"


def test_the_command(run_gradperf, scripts):
    """It prints the script, and imports no framework; another shell is a mistake."""
    assert run_gradperf("completion", "bash").stdout == (scripts / "bash").read_text()
    done = run_gradperf("completion", "tcsh")
    assert done.returncode == 2
    assert "argument SHELL: invalid choice: 'tcsh'" in done.stderr
    source = (
        "import sys\nfrom gradperf.commands.main import main\nmain(['completion', 'zsh'])\n"
        "print(sorted({'pytest', 'torch', 'jax', 'tensorflow'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
