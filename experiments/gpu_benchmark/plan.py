"""What can be measured, as data: jobs, and measurements that they take turns in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Job:
    """A process that prepares something (builds, compiles) and then, when asked, runs it."""

    name: str
    """ours, PyTorch, ..."""
    function: str
    """module:function, a `job.Preparation`"""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """of the function; what JSON can hold"""
    official: bool = False
    """whether it needs the official code"""
    environment: Mapping[str, str] = field(default_factory=dict)
    limit: float = 300.0
    """seconds after which it counts as stuck"""


@dataclass(frozen=True)
class Measurement:
    """Jobs that are timed in turns, while nothing else runs."""

    section: str
    name: str
    jobs: tuple[Job, ...]
    warm_up: int = 2
    repeats: int = 10
    longest: float = 20.0
    """seconds of warming up, and of turns, after which no further turn begins"""
    audio_seconds: float | None = None
    """seconds of audio in a run, for the speed in times real time"""
    uses_device: bool = False
    """whether preparing keeps the device busy: no other job then prepares a program at the time"""
    last: bool = False
    """whether it comes after the other sections"""

    @property
    def keys(self) -> list[tuple[str, str, str]]:
        """Section, name and job's name of each of its results."""
        return [(self.section, self.name, job.name) for job in self.jobs]

    def without_official(self) -> Measurement:
        """What remains of it without the official code."""
        return replace(self, jobs=tuple(job for job in self.jobs if not job.official))


@dataclass(frozen=True)
class Settings:
    """What every job is told."""

    tiny: bool
    """sizes for a CPU"""
    work: str
    """folder for files that jobs leave for each other"""
    whisper: str | None = None
    """file of Whisper's weights; random ones without"""
    data: str | None = None
    """prepared corpus; one is made without"""
    train_config: str | None = None
    """what the runs of the section `precision` train"""
    train_steps: int = 100
