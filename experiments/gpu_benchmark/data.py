"""Throughput of the data pipeline by number of workers, as benchmark_data.py has it."""

from __future__ import annotations

from gpu_benchmark.job import Run, Voice
from gpu_benchmark.material import SAMPLE_RATE, corpus
from gpu_benchmark.plan import Job, Measurement, Settings

WORKERS, TINY_WORKERS = (1, 2, 4, 8, 16), (1,)
BATCHES = 10


def measurements(tiny: bool) -> list[Measurement]:
    """Each while nothing else runs."""
    return [
        Measurement(
            "data",
            f"{count} worker" + ("s" if count > 1 else ""),
            (Job("ours", f"{__name__}:loader", {"workers": count}),),
            warm_up=1,
            repeats=3,
            longest=5.0,
        )
        for count in (TINY_WORKERS if tiny else WORKERS)
    ]


def loader(voice: Voice, settings: Settings, workers: int) -> Run:
    """Batches of the published size: 24 crops of 7.2 s."""
    from benchmark_data import rate

    from l3ac_jax.config.data import CorpusConfig, DataConfig
    from l3ac_jax.data.loader import BatchLoader

    config = DataConfig(
        corpora=(CorpusConfig(corpus="folder", path=corpus(settings)),),
        batch_size=4 if settings.tiny else 24,
        seconds=0.1 if settings.tiny else 7.2,
    )
    batches = BatchLoader(config, SAMPLE_RATE, workers=workers)

    def seconds() -> float:
        return float(next(batches)["lengths"].sum() / SAMPLE_RATE)

    def run() -> dict[str, float]:
        for _ in range(2 * workers + 1):  # made ahead
            seconds()
        return {"made_s_per_s": rate(seconds, BATCHES)}

    def close() -> dict[str, float]:
        batches.close()
        return {}

    voice.at_end = close
    seconds()
    return run
