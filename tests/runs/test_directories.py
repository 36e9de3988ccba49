"""Directories of tables: one writer, and all numbers with the same flags."""

import pytest

from synthenv.core.errors import UserError
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.csv_tables import read_csv
from synthenv.runs.storage.locked_directory import held

FLAGS = {"seed": 0, "sizes": (1, 2), "contents": {"a": "1"}}


def test_what_was_begun_goes_on_with_the_same_flags_only(tmp_path):
    path = tmp_path / "numbers"
    for _ in range(2):
        with held(path, FLAGS):
            (path / "table.csv").write_text("x")
    with (
        pytest.raises(UserError, match="begun with seed = 0, not 1: pass the old value"),
        held(path, FLAGS | {"seed": 1}),
    ):
        pytest.fail("it was let in")
    with held(path, FLAGS | {"contents": {"b": "2"}}):
        pass
    for name, other in (("a", "3"), ("b", "3")):
        changed = held(path, FLAGS | {"contents": {name: other}})
        with pytest.raises(UserError, match=f"begun with contents.{name} = "), changed:
            pytest.fail("it was let in")


def test_one_writer_at_a_time(tmp_path):
    with (
        held(tmp_path, FLAGS),
        pytest.raises(UserError, match="another process is writing"),
        held(tmp_path, FLAGS),
    ):
        pytest.fail("it was let in")
    with held(tmp_path, FLAGS):
        pass


def test_tables_of_unknown_flags_and_damage_are_refused(tmp_path):
    (tmp_path / "table.csv").write_text("x")
    with (
        pytest.raises(UserError, match=r"holds table.csv, and no config.json says of what"),
        held(tmp_path, FLAGS),
    ):
        pytest.fail("it was let in")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="is damaged: put back a copy"), held(tmp_path, FLAGS):
        pytest.fail("it was let in")
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe")
    for file in (tmp_path / "table.csv", tmp_path / "none.csv"):
        with pytest.raises(UserError, match=r"is damaged: remove it|cannot use"):
            read_csv(file)


def test_leftovers_of_a_killed_writer_are_cleared_away(tmp_path):
    (tmp_path / ".config.json.1.tmp").write_text("half")
    with locked_directory.locked(tmp_path):
        assert not list(tmp_path.glob("*.tmp"))
