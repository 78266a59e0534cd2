"""``gradperf completion``: a script with which bash, zsh or fish completes commands, options, and names of cases.

The script holds all names, so a completion starts no Python: that takes longer than a key press should. It is
written from the options themselves.
"""

import argparse
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradperf import options
from gradperf.commands import AddParser
from gradperf.comparison import values

FILES, FOLDERS = "file", "directory"
"""What is completed by the names of files, or of folders alone. All else are names of lists in the script."""

_BY_METAVAR = {"FILE": FILES, "PATH": FILES, "FOLDER": FOLDERS}
_POSITIONALS = {"CASE": "case", "RUN": FILES, "A": FILES, "B": FILES, "NAME": "name"}
_LISTS: Mapping[str, tuple[str, ...]] = {
    "tier": options.TIERS,
    "columns": tuple(values.COLUMNS),
    "sort": tuple(values.COLUMNS),
}
"""The words of an option's value, by the option."""


def add(add_parser: AddParser) -> None:
    """Add the command and its options."""
    parser = add_parser(
        "completion",
        help="print a script with which a shell completes these commands",
        epilog="In ~/.bashrc: source <(gradperf completion bash). In ~/.zshrc, after compinit, the same with zsh. "
        "In ~/.config/fish/config.fish: gradperf completion fish | source.",
    )
    parser.add_argument("shell", metavar="SHELL", choices=tuple(_SHELLS), help=f"{' or '.join(_SHELLS)}")
    parser.set_defaults(command=print_script)


def print_script(parsed: argparse.Namespace) -> int:
    """Print the script of a shell."""
    print(script(parsed.shell, parsed.commands), end="")
    return 0


class _Recorded(argparse.ArgumentParser):
    """A parser that keeps its arguments where they can be read."""

    def __init__(self, **more: Any) -> None:
        self.arguments: list[argparse.Action] = []
        super().__init__(**more)

    def add_argument(self, *words: Any, **more: Any) -> argparse.Action:
        action = super().add_argument(*words, **more)
        self.arguments.append(action)
        return action


@dataclass(frozen=True)
class _Branch:
    """A branch of a shell's ``case`` that sets what completes a word."""

    patterns: tuple[str, ...]
    what: str
    is_open: bool = False
    """Whether the patterns may go on with anything."""
    ends: bool = False
    """Whether no other branch is looked at."""


def _posix(branch: _Branch) -> str:
    patterns = "|".join(f"'{one}'" + "*" * branch.is_open for one in branch.patterns)
    return f"        {patterns}) what='{branch.what}'{' && return' * branch.ends} ;;"


def _fish(branch: _Branch) -> str:
    patterns = " ".join(f"'{one}{'*' * branch.is_open}'" for one in branch.patterns)
    return f"        case {patterns}\n            set what '{branch.what}'{' found' * branch.ends}"


def _words(shell: str, words: tuple[str, ...]) -> str:
    return " ".join(words) if shell == "fish" else shlex.quote(" ".join(words))


def script(shell: str, commands: tuple[Any, ...]) -> str:
    """Return the script for ``shell`` that completes these modules of commands."""
    parsers: dict[str, _Recorded] = {}

    def add_parser(name: str, **_: Any) -> argparse.ArgumentParser:
        parsers[name] = _Recorded()
        return parsers[name]

    for command in commands:
        command.add(add_parser)
    lists = {**_lists(), "commands": (*parsers, "--help", "--version")}
    words = "\n".join(_SET[shell].format(name=name, words=_words(shell, some)) for name, some in lists.items())
    after, elsewhere = (
        "\n".join(_WRITTEN[shell](branch) for name, parser in parsers.items() for branch in of(name, parser))
        for of in (_after_options, _elsewhere)
    )
    return (
        _SHELLS[shell].replace("{lists}", words).replace("{after_options}", after).replace("{elsewhere}", elsewhere)
    )


def _lists() -> dict[str, tuple[str, ...]]:
    """Return the lists that have names of their own; no framework is imported for them."""
    from gradperf import cases  # it imports numpy
    from gradperf.gate.decision import findings

    chosen = cases.chosen(cases.Choice(), cases.Settings())
    styles = dict.fromkeys(f"{case.framework}.{case.style}" for case in chosen)
    axes = {axis: cases.existing(axis) for axis in options.AXES}
    return {
        **axes,
        "case": tuple(case.id for case in chosen),
        "part": (*axes["problem"], *styles, *axes["device"], *axes["dtype"]),
        "name": (*axes["problem"], *styles, *findings.MEANING),
    }


def _after_options(command: str, parser: _Recorded) -> Iterator[_Branch]:
    """Yield a branch for each option that has a value."""
    for action in parser.arguments:
        if action.option_strings and action.nargs != 0:
            patterns = tuple(f"{command} {name}" for name in action.option_strings)
            yield _Branch(patterns, _what(action, _BY_METAVAR), ends=True)


def _elsewhere(command: str, parser: _Recorded) -> Iterator[_Branch]:
    """Yield a branch for what begins as an option does, and one for all else."""
    names = [name for action in parser.arguments for name in action.option_strings if name.startswith("--")]
    yield _Branch((f"{command} -",), f"={' '.join(names)}", is_open=True)
    positional = next((action for action in parser.arguments if not action.option_strings), None)
    if positional is not None:
        yield _Branch((f"{command} ",), _what(positional, _POSITIONALS), is_open=True)


def _what(action: argparse.Action, by_metavar: Mapping[str, str]) -> str:
    """Return what completes the value: the name of a list, or words after ``=``; empty if nothing does."""
    words = action.choices or _LISTS.get(action.dest)
    if words:
        return f"={' '.join(words)}"
    return action.dest if action.dest in options.AXES else by_metavar.get(str(action.metavar), "")


_POSIX = """\
# Written by `gradperf completion`. If gradperf changes, write it again.
{lists}

# Set `what` completes the word $3 of the command $1, which stands after $2.
_gradperf_what() {
    what=
    case "$1 $2" in
{after_options}
    esac
    case "$1 $3" in
{elsewhere}
    esac
    # Parts of an id are enough, and a whole id has dashes.
    if [ "$what" = case ]; then
        case "$3" in
            *-*) ;;
            *) what=part ;;
        esac
    fi
}
"""

_BASH = (
    _POSIX
    + """
_gradperf() {
    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} what=commands words before place
    local IFS=$' \\t\\n'
    COMPREPLY=()
    # bash takes --tier=quick for three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    ((COMP_CWORD > 1)) && _gradperf_what "${COMP_WORDS[1]}" "$previous" "$cur"
    for ((place = 2; place < COMP_CWORD; place++)); do
        [[ ${COMP_WORDS[place]} == -- ]] && what=file # for pytest
    done
    case $what in
        file | directory)
            IFS=$'\\n'
            compopt -o filenames 2>/dev/null
            COMPREPLY=($(compgen -A "$what" -- "$cur"))
            ;;
        ?*)
            words=_gradperf_$what
            [[ $what == '='* ]] && words=${what#=} || words=${!words}
            before=${cur%"${cur##*,}"} # names may be separated by commas
            COMPREPLY=($(compgen -P "$before" -W "$words" -- "${cur##*,}"))
            ;;
    esac
}
complete -F _gradperf gradperf
"""
)

_ZSH = (
    _POSIX
    + """
_gradperf() {
    local cur=$PREFIX previous=${words[CURRENT - 1]} what=commands list
    if [[ $PREFIX == --*=* ]]; then
        previous=${PREFIX%%=*}
        compset -P '*='
        cur=$PREFIX
    fi
    ((CURRENT > 2)) && _gradperf_what "${words[2]}" "$previous" "$cur"
    ((${words[(I)--]} > 0 && ${words[(I)--]} < CURRENT)) && what=file # for pytest
    case $what in
        file) _files ;;
        directory) _files -/ ;;
        ?*)
            list=_gradperf_$what
            [[ $what == '='* ]] && list=${what#=} || list=${(P)list}
            compset -P '*,' # names may be separated by commas
            compadd -- ${=list}
            ;;
    esac
}
compdef _gradperf gradperf
"""
)

_FISH = """\
# Written by `gradperf completion`. If gradperf changes, write it again.
{lists}

# Print what completes the word $argv[3] of the command $argv[1], which stands after $argv[2].
function _gradperf_what
    set -l what
    switch "$argv[1] $argv[2]"
{after_options}
    end
    if test (count $what) -eq 2
        echo $what[1]
        return
    end
    switch "$argv[1] $argv[3]"
{elsewhere}
    end
    # Parts of an id are enough, and a whole id has dashes.
    if test "$what" = case; and not string match -q '*-*' -- $argv[3]
        set what part
    end
    echo $what
end

function _gradperf
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l previous $before[-1]
    set -l kept ''
    set -l what commands
    if string match -q -- '--*=*' $current
        set -l both (string split -m 1 -- = $current)
        set previous $both[1]
        set current $both[2]
        set kept "$previous="
    end
    if test (count $before) -gt 1
        set what (_gradperf_what $before[2] $previous $current)
    end
    if contains -- -- $before[2..-1] # for pytest
        set what file
    end
    switch "$what"
        case ''
        case file
            __fish_complete_path $current
        case directory
            __fish_complete_directories $current ''
        case '*'
            set -l list _gradperf_$what
            set -l words $$list
            if string match -q -- '=*' $what
                set words (string split ' ' -- (string sub -s 2 -- $what))
            end
            # Names may be separated by commas.
            set -l first (string match -r -- '^.*,' $current)
            or set first ''
            printf '%s\\n' $kept$first$words
    end
end
complete -c gradperf -f -a '(_gradperf)'
"""

_SHELLS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_SET = dict.fromkeys(("bash", "zsh"), "_gradperf_{name}={words}") | {"fish": "set -g _gradperf_{name} {words}"}
_WRITTEN: Mapping[str, Callable[[_Branch], str]] = {"bash": _posix, "zsh": _posix, "fish": _fish}
