"""Results of both sides are the same up to rounding, or their difference is reported."""

import collections
import json

import numpy as np
import pytest

from gradperf.pairs.child.fingerprint import MOST_VALUES, difference, fingerprint

RANDOM = np.random.default_rng(0)
ARRAY = RANDOM.standard_normal((40, 30))


def difference_of(one, other):
    """Compare as the gate does: by fingerprints that went through JSON."""
    return difference(*(json.loads(json.dumps(fingerprint(value))) for value in (one, other)))


def changed(array, index, value):
    """Return a copy of ``array`` with another value at ``index``."""
    copy = array.copy()
    copy[index] = value
    return copy


class Thing:
    """An object of which nothing is known."""

    def __init__(self, value):
        """Keep a value that no fingerprint reads."""
        self.value = value


class Broken:
    """An object that raises when it is looked at."""

    @property
    def __array__(self):
        raise RuntimeError("do not touch")


SAME = {
    "nothing": (None, None),
    "integers": ([1, (2, 3)], [1, (2, 3)]),
    "texts": ({"a": "x", "b": b"y"}, {"b": b"y", "a": "x"}),
    "rounding": (0.1 + 0.2, 0.3),
    "rounding in single precision": (ARRAY.astype("f4"), np.nextafter(ARRAY.astype("f4"), np.float32(9))),
    "another order of sums": (float(ARRAY.sum()), float(sum(ARRAY.ravel()))),
    "not a number": ([float("nan"), float("inf")], [float("nan"), float("inf")]),
    "infinities in arrays": (changed(ARRAY, 3, np.inf), changed(ARRAY, 3, np.inf)),
    "empty arrays": (np.zeros((0, 3)), np.zeros((0, 3))),
    "complex": (1 + 2j, 1 + 2j),
    "views": (ARRAY[::2], ARRAY[::2].copy()),
    "integers in arrays": (np.arange(5), np.arange(5)),
    "unknown objects": (Thing(1), Thing(2)),
    "broken objects": (Broken(), Broken()),
    "sets": ({"a", "b"}, {"a", "c"}),
    "arrays of objects": (np.array([Thing(1)]), np.array([Thing(2)])),
    "deep": ([[[[[[[[[[1]]]]]]]]]], [[[[[[[[[[2]]]]]]]]]]),
    "long": (list(range(5000)), [*range(4999), 0]),
}

DIFFERENT = {
    "an integer": (1, 2),
    "a kind": (1, True),
    "a text": ("a", "b"),
    "nothing and something": (None, 0),
    "a float": (1.0, 1.001),
    "a float and an integer": (1.0, 1),
    "a sign": (1.0, -1.0),
    "not a number": (1.0, float("nan")),
    "infinities": (float("inf"), float("-inf")),
    "an infinity": ([1.0], [float("inf")]),
    "lengths": ([1], [1, 1]),
    "keys": ({"a": 1}, {"b": 1}),
    "a value in depth": ({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2.1}]}),
    "a shape": (ARRAY, ARRAY.T.copy()),
    "a precision": (ARRAY, ARRAY.astype("f4")),
    "one element": (ARRAY, changed(ARRAY, (0, 1), 9.0)),
    "an order": (ARRAY, ARRAY[::-1].copy()),
    "one element not a number": (ARRAY, changed(ARRAY, (0, 1), np.nan)),
    "an integer in an array": (np.arange(5), np.arange(5) + 1),
    "an imaginary part": (1 + 2j, 1 - 2j),
    "a type": (Thing(1), collections.OrderedDict()),
}


@pytest.mark.parametrize("what", SAME)
def test_same(what):
    """What is the same up to rounding, or cannot be compared, does not differ."""
    assert difference_of(*SAME[what]) is None


@pytest.mark.parametrize("what", DIFFERENT)
def test_different(what):
    """A difference is reported, in either order of the sides."""
    one, other = DIFFERENT[what]
    assert difference_of(one, other)
    assert difference_of(other, one)


def test_place():
    """The message says where in the result they differ."""
    reported = difference_of({"losses": [1.0, 2.0]}, {"losses": [1.0, 2.5]})
    assert reported.startswith("['losses'][1] differs: sums apart by 0.5")


def test_nothing_fingerprint():
    """A benchmark whose result is not known does not differ."""
    assert difference(None, fingerprint(1)) is None
    assert difference(fingerprint(1), None) is None


def test_size():
    """However large the result, its description is small."""
    assert len(fingerprint([[i] * 10 for i in range(10_000)])) <= MOST_VALUES
    assert len(json.dumps(fingerprint(np.ones((3000, 3000))))) < 300
