"""The sections, in the order of their importance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from gpu_benchmark import compilation, data, exactness, inference, precision, resume, steps
from gpu_benchmark.plan import Job, Measurement

Section = Literal["exactness", "inference", "steps", "compilation", "resume", "data", "precision"]
SECTIONS: tuple[Section, ...] = (
    "exactness", "inference", "steps", "compilation", "resume", "data", "precision",
)  # fmt: skip

# The share of the whole time after which a section, from its first job on, has had enough.
LIMITS: dict[str, float] = {
    "exactness": 0.5,
    "inference": 0.6,
    "compilation": 0.5,
    "resume": 0.5,
    "data": 0.4,
}
NEED_CORPUS = {"resume", "data", "precision"}


def make_plan(sections: Collection[str], tiny: bool) -> list[Measurement]:
    """What the sections measure, in this order."""
    plans = {
        "exactness": exactness.measurements(tiny),
        "inference": inference.measurements(tiny),
        "steps": steps.measurements(tiny),
        "compilation": compilation.measurements(tiny, with_steps="steps" in sections),
        "resume": resume.measurements(tiny),
        "data": data.measurements(tiny),
        "precision": precision.measurements(tiny),
    }
    plan = [one for section in SECTIONS if section in sections for one in plans[section]]
    return sorted(plan, key=lambda measurement: measurement.last)


def machine() -> Measurement:
    """What this is measured on."""
    job = Job("machine", "gpu_benchmark.material:describe_machine", limit=120.0)
    return Measurement("first", job.name, (job,))


def first_jobs(sections: Collection[str], data: str | None) -> list[Measurement]:
    """What the others need: weights, and a corpus."""
    jobs = [Job("weights", "gpu_benchmark.material:make_weights", limit=120.0)]
    if NEED_CORPUS & set(sections) and data is None:
        jobs.append(Job("corpus", "gpu_benchmark.material:make_corpus", limit=120.0))
    return [Measurement("first", job.name, (job,)) for job in jobs]
