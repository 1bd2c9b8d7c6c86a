"""What the outputs of a tree are called, and which names cannot be."""

import os
from pathlib import Path

import pytest

from l3ac_jax.system.plans import Plan, plan_jobs


def planned(source: list[str], target: Path = Path("out"), ending: str = ".l3ac") -> Plan:
    return plan_jobs(Path("in"), target, map(Path, source), lambda _: ending)


def names(source: list[str], ending: str = ".l3ac") -> dict[str, str]:
    plan = planned(source, ending=ending)
    assert not plan.refused
    return {
        job.source.relative_to("in").as_posix(): job.target.relative_to("out").as_posix()
        for job in plan.jobs
    }


def done(plan: Plan) -> list[str]:
    return [job.source.relative_to("in").as_posix() for job in plan.jobs]


@pytest.fixture
def one_case(monkeypatch):
    """A file system that does not tell capitals from small letters."""
    create = os.open

    def open_in_one_case(path, flags, *rest, **more):
        if flags & os.O_EXCL:
            path = Path(path).with_name(Path(path).name.lower())
        return create(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", open_in_one_case)


def test_the_ending_is_replaced():
    assert names(["a.wav", "x/a.flac", "b.tar.wav"]) == {
        "a.wav": "a.l3ac",
        "x/a.flac": "x/a.l3ac",
        "b.tar.wav": "b.tar.l3ac",
    }


def test_names_that_would_be_the_same_keep_their_ending():
    assert names(["a.wav", "a.flac", "A.mp3", "b.wav"]) == {
        "a.wav": "a.wav.l3ac",
        "a.flac": "a.flac.l3ac",
        "A.mp3": "A.mp3.l3ac",
        "b.wav": "b.l3ac",
    }
    # What they are decoded to cannot be the same.
    assert names(["a.wav.l3ac", "a.flac.l3ac"], ".wav") == {
        "a.wav.l3ac": "a.wav.wav",
        "a.flac.l3ac": "a.flac.wav",
    }


PAIRS = ["aB3.wav", "ab3.wav", "X/c.wav", "x/c.wav", "d.wav"]


def test_names_that_differ_in_case_are_different_files_where_they_can_be(tmp_path):
    plan = planned(PAIRS, tmp_path / "out")
    assert sorted(done(plan)) == sorted(PAIRS) and not plan.refused
    assert len({job.target for job in plan.jobs}) == len(PAIRS)
    assert not list(tmp_path.iterdir())  # what was tried out is gone


def test_where_they_cannot_be_only_they_are_refused(tmp_path, one_case):
    plan = planned(PAIRS, tmp_path / "out")
    assert "aB3.wav" not in done(plan) and "ab3.wav" not in done(plan)
    assert "d.wav" in done(plan)
    first, second = (str(error) for error in plan.refused)
    assert first.startswith("in/aB3.wav: cannot be done together with ab3.wav")
    assert second.startswith("in/ab3.wav: cannot be done together with aB3.wav")
    assert "one to its file system" in first


def test_names_that_are_still_the_same_cost_no_others():
    plan = planned(["a.wav", "a.flac", "a.wav.mp3", "b.wav"])
    assert done(plan) == ["a.flac", "b.wav"]
    assert [str(error) for error in plan.refused] == [
        "in/a.wav: cannot be done together with a.wav.mp3: they would become out/a.wav.l3ac and "
        "a.wav.l3ac",
        "in/a.wav.mp3: cannot be done together with a.wav: they would become out/a.wav.l3ac and "
        "a.wav.l3ac",
    ]


def test_names_that_get_too_long_are_refused_and_no_others(tmp_path):
    limit = os.pathconf(tmp_path, "PC_NAME_MAX")
    fits, too_long, folder = "a" * (limit - 5), "b" * (limit - 4), "c" * (limit + 1)
    plan = planned([f"{fits}.wav", f"{too_long}.wav", f"x/{folder}/d.wav"], tmp_path / "out")
    assert done(plan) == [f"{fits}.wav"]
    assert [str(error).rpartition(": ")[2] for error in plan.refused] == ["File name too long"] * 2
