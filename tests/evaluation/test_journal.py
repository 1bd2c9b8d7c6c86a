"""Results survive whatever ends a run, and count only for what they were made of."""

import pytest

from l3ac_jax.errors import OutputError
from l3ac_jax.evaluation.journal import Journal

IDENTITY = {"codec": "one"}


@pytest.fixture
def path(tmp_path):
    with Journal(tmp_path / "codec" / "scores.jsonl", IDENTITY) as journal:
        journal.add("a", "key a", {"stoi": 0.5})
        journal.add("b", "key b", {"stoi": None})
        journal.add("a", "new key", {"stoi": 0.25})
    return tmp_path / "codec" / "scores.jsonl"


def test_entries_are_there_when_it_is_opened_again(path):
    with Journal(path, IDENTITY) as journal:
        assert journal.get("a", "new key") == {"stoi": 0.25}
        assert journal.get("b", "key b") == {"stoi": None}
        assert journal.get("a", "key a") is None
        assert journal.get("c", "key c") is None


def test_cut_off_at_any_byte_only_the_last_entry_is_lost(path):
    whole = path.read_bytes()
    before_b = whole.index(b"\n", whole.index(b'"key a"')) + 1
    for end in range(before_b, whole.index(b'{"name": "a", "key": "new')):
        path.write_bytes(whole[:end])
        with Journal(path, IDENTITY) as journal:
            assert journal.get("a", "key a") == {"stoi": 0.5}
            journal.add("c", "key c", {})
        with Journal(path, IDENTITY) as journal:
            assert journal.get("c", "key c") == {}


def test_results_of_something_else_are_kept(path):
    whole = path.read_bytes()
    with pytest.raises(OutputError, match="of another codec of this name"):
        Journal(path, {"codec": "two"})
    assert path.read_bytes() == whole
