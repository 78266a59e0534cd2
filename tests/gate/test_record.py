"""The record of the gate follows its schema and is strict JSON. A full disk destroys nothing."""

import errno
import json
import math
import os
from dataclasses import fields, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradperf.errors import UserError
from gradperf.files import write
from gradperf.gate.decision.findings import Control, Finding, Outcome
from gradperf.gate.report.record import SCHEMA_FILE, dumps, record
from tests.gate.outcomes import EVERY, case, control, outcome, slow

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

numbers = st.none() | st.floats(min_value=0)
shares = st.none() | st.floats(0, 1)
values = st.lists(st.floats(), max_size=3).map(tuple)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.fractions() | st.datetimes(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


def refuse(constant):
    """Refuse NaN and Infinity, which Python reads but JSON does not have."""
    raise AssertionError(constant)


@pytest.mark.parametrize("key", EVERY)
def test_every_verdict_follows_the_schema(key):
    """The record of each verdict is valid, and has all that the schema requires."""
    VALIDATOR.validate(record(EVERY[key]))


def test_the_schema_is_one():
    """It is itself a valid schema of its draft."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_knows_every_fact():
    """Each field of the dataclasses is a required key, and the record has no other key but its version."""
    written = record(EVERY["one regression"])
    assert set(written) == set(SCHEMA["required"]) == set(SCHEMA["properties"])
    assert set(written) == {"schema"} | {field.name for field in fields(Outcome)}
    for kind, one, dataclass in (
        ("finding", written["cases"][0], Finding),
        ("control", written["controls"][0], Control),
    ):
        known = SCHEMA["$defs"][kind]
        assert set(one) == set(known["required"]) == set(known["properties"])
        assert set(one) == {field.name for field in fields(dataclass)}


@pytest.mark.parametrize(
    ("key", "value"), [("schema", 2), ("verdict", "fine"), ("cases", None), ("seed", 1.5), ("warnings", [1])]
)
def test_the_schema_refuses_what_is_wrong(key, value):
    """Another version, an unknown verdict or another type is no record."""
    assert not VALIDATOR.is_valid({**record(EVERY["unchanged"]), key: value})


def test_the_record_holds_what_was_measured():
    """Numbers are not rounded, and every pair is there."""
    found = slow(ratio=1.0723456789, accepted="known")
    written = record(outcome("unchanged", [found], controls=(control(0.05),)))
    assert written["cases"][0]["ratio"] == 1.0723456789
    assert written["cases"][0]["confirmed"] == [math.log(1.0723456789)] * 24
    assert written["cases"][0]["accepted"] == "known"
    assert written["controls"][0]["values"] == [math.log(1.05)] * 8
    assert (written["schema"], written["seed"], written["exit_code"]) == (1, 7, 0)


@given(ratio=numbers, low=numbers, p=shares, screened=values, environment=st.dictionaries(st.text(), anything))
def test_a_record_is_json_whatever_was_found(ratio, low, p, screened, environment):
    """It is read back as it was, valid, and without a NaN or an Infinity, which other readers refuse."""
    found = replace(case(), ratio=ratio, ci_low=low, p_adjusted=p, screened=screened)
    one = outcome(cases=[found], environment=environment)
    read = json.loads(dumps(one), parse_constant=refuse)
    assert read == record(one)
    VALIDATOR.validate(read)


def test_what_json_does_not_know_is_written_as_text():
    """A path, a moment and a set come out as something that can be read."""
    written = record(
        outcome(
            environment={
                "at": datetime(2026, 1, 2, tzinfo=UTC),
                "path": Path("a/b"),
                "set": {"b", "a"},
                1: Fraction(1, 2),
            }
        )
    )
    assert written["environment"] == {"at": "2026-01-02T00:00:00+00:00", "path": "a/b", "set": ["a", "b"], "1": 0.5}


def test_a_file_is_written_and_nothing_beside_it(tmp_path):
    """A new file and an old one both end with the whole text, in a folder without leftovers."""
    file = tmp_path / "gate.json"
    for text in ("first – ×\n", "second\n"):
        write(file, text)
        assert file.read_text(encoding="utf-8") == text
        assert os.listdir(tmp_path) == ["gate.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, step):
    """If the disk is full, the old file stays, no temporary file is left, and the error has path and reason."""
    file = tmp_path / "gate.json"
    file.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(UserError, match=r"gate\.json.*No space left"):
        write(file, "new")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["gate.json"]


def test_an_interrupt_leaves_no_half_file(tmp_path, monkeypatch):
    """An interrupt while writing removes the temporary file."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "gate.json", "new")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_a_device_is_written_to_and_not_replaced():
    """A full device is reported, and is still a device afterwards."""
    with pytest.raises(UserError, match="No space left"):
        write(Path("/dev/full"), "new")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("place", [".", "missing/gate.json", "null\0character"])
def test_a_path_that_cannot_be_written_is_an_error(tmp_path, place):
    """A folder, a missing folder and an impossible name are reported with the path."""
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / place, "new")
    assert os.listdir(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
    """The file that a link leads to is replaced, not the link."""
    file, link = tmp_path / "gate.json", tmp_path / "link.json"
    file.write_text("old")
    link.symlink_to(file)
    write(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"
