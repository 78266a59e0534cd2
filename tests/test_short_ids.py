"""Enough parts of an id name a case; too few, or wrong ones, are one message with what was probably meant."""

import json
import re

import pytest

from gradperf.cases import Settings
from gradperf.commands import short_ids
from gradperf.errors import UserError

SETTINGS = Settings()
AUTOGRAD = "tiny_3x2x1-torch.autograd-cpu-float32"


@pytest.mark.parametrize(
    ("words", "id_"),
    [
        ("tiny_3x2x1 torch.autograd", AUTOGRAD),
        ("tiny_3x2x1-torch.autograd", AUTOGRAD),
        ("torch.autograd tiny_3x2x1", AUTOGRAD),
        ("tiny_3x2x1 autograd", AUTOGRAD),
        ("tiny_3x2x1 autog", AUTOGRAD),
        ("tiny_3x2x1 autograd float64", "tiny_3x2x1-torch.autograd-cpu-float64"),
        ("tiny_3x2x1 autograd cuda", "tiny_3x2x1-torch.autograd-cuda-float32"),
        ("polynomial autograd", "polynomial_degree4-torch.autograd-cpu-float64"),
        ("polynomial by_hand", "polynomial_degree4-numpy.by_hand-cpu-float64"),
        ("matmul_2x3x4 numpy.operator", "matmul_2x3x4-numpy.operator-cpu-float32"),
        ("nothing", "nothing-numpy.empty-cpu-float64"),
        (AUTOGRAD, AUTOGRAD),
    ],
)
def test_parts_that_are_enough(words, id_):
    """In any order, each whole or cut; what is left out is the CPU and the published dtype."""
    assert short_ids.find(words.split(), SETTINGS).id == id_


@pytest.mark.parametrize(
    ("id_", "like", "found"),
    [
        ("numpy.by_hand", AUTOGRAD, "tiny_3x2x1-numpy.by_hand-cpu-float32"),
        ("jax.jit", "tiny_3x2x1-torch.autograd-cuda-float64", "tiny_3x2x1-jax.jit-cuda-float64"),
        ("numpy.by_hand", "tiny_3x2x1-torch.autograd-cuda-float64", "tiny_3x2x1-numpy.by_hand-cpu-float64"),
        ("float64", AUTOGRAD, None),
        ("polynomial_degree4-autograd", AUTOGRAD, "polynomial_degree4-torch.autograd-cpu-float32"),
    ],
)
def test_the_second_of_a_pair(id_, like, found):
    """It takes from the first what its id leaves out, as far as its framework has that; never the style."""
    first = short_ids.find([like], SETTINGS)
    if found is None:
        with pytest.raises(UserError, match="'float64' means 18 cases: tiny_3x2x1-jax"):
            short_ids.find([id_], SETTINGS, like=first)
    else:
        assert short_ids.find([id_], SETTINGS, like=first).id == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "tiny_3x2x1 function",
            "2 cases: tiny_3x2x1-tensorflow.function-cpu-float32, tiny_3x2x1-torch.function-cpu-float32; name",
        ),
        ("tiny torch.autograd", "means 3 cases: tiny_3x2x1-torch.autograd-cpu-float32, tiny_bias_3x2x1-torch"),
        ("tiny_3x2x1", " cases: tiny_3x2x1-jax.grad-cpu-float32, "),
        ("tiny_3x2x1", " and 12 more; name one of them"),
        ("tiny_3x2x1 autgrad", "no case has 'autgrad'. Did you mean 'autograd'? `gradperf list` shows all."),
        ("tiny_9x9 torch.autograd", "no case has 'tiny_9x9'. Did you mean 'tiny_3x2x1'?"),
        ("tiny_3x2x1 torch.autograd cud4", "no case has 'cud4'. Did you mean 'cuda'?"),
        ("tiny_3x2x1 numpy.loops", "no case has all of 'tiny_3x2x1', 'numpy.loops'; `gradperf list` shows what"),
        ("tiny_3x2x1-", "no case has ''."),
    ],
)
def test_parts_that_are_not_enough(words, message):
    """The candidates are named, or the nearest name of the part that no case has."""
    with pytest.raises(UserError, match=re.escape(message)):
        short_ids.find(words.split(), SETTINGS)


def test_commands_take_parts(run_gradperf, tmp_path):
    """``run`` and ``pair`` show the whole id of what they computed."""
    done = run_gradperf("run", "tiny_3x2x1", "numpy.by_hand", "--json", tmp_path / "run.json")
    assert done.stdout.startswith("tiny_3x2x1-numpy.by_hand-cpu-float32: "), done.stderr
    assert json.loads((tmp_path / "run.json").read_text())["case"] == "tiny_3x2x1-numpy.by_hand-cpu-float32"
    done = run_gradperf("pair", "tiny_3x2x1", "by_hand", "by_hand_inplace", "--pairs", "6", "--tier", "short")
    assert [line.split()[-1] for line in done.stdout.splitlines()[:2]] == [
        "tiny_3x2x1-numpy.by_hand-cpu-float32",
        "tiny_3x2x1-numpy.by_hand_inplace-cpu-float32",
    ], done.stderr


@pytest.mark.parametrize("command", ["run", "pair", "neighbours"])
def test_commands_name_the_candidates(run_gradperf, command):
    """One message and exit code 2, before anything is measured."""
    done = run_gradperf(command, "tiny_3x2x1-function", *(["numpy.by_hand"] if command == "pair" else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gradperf: 'tiny_3x2x1-function' means 2 cases: tiny_3x2x1-tensorflow.function-")
