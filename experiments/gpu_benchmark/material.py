"""What the jobs share: configurations, weights, recordings."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measurement import speech

from gpu_benchmark.job import Voice, work_file
from gpu_benchmark.plan import Settings
from l3ac_jax.config import ExperimentConfig, load_config, published_config

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.model.precision import Precision

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
SAMPLE_RATE = 16000
CORPUS_CLIPS, CORPUS_SECONDS = 48, 24.0
TINY_STEPS = 6  # of all tiny runs: they share a program


def experiment(settings: Settings) -> ExperimentConfig:
    """The codec that is measured: 3kbps as published."""
    return load_config(HERE / "tiny.toml") if settings.tiny else published_config("3kbps")


def training_config(settings: Settings) -> Path:
    """The file of the codec that is trained."""
    if settings.train_config is not None:
        return Path(settings.train_config)
    return HERE / "tiny_run.toml" if settings.tiny else CONFIGS / "smoke.toml"


def has_torch() -> bool:
    """Whether the official code can be run."""
    return all(importlib.util.find_spec(name) for name in ("torch", "l3ac", "local_attention"))


def describe_machine(voice: Voice, settings: Settings) -> None:
    """The first job."""
    import jax

    device = jax.devices()[0]
    memory = (device.memory_stats() or {}).get("bytes_limit")
    voice.figures(
        backend=jax.default_backend(),
        device=device.device_kind,
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        **{name: _version(name) for name in ("jax", "jaxlib", "flax", "torch")},
        **({} if memory is None else {"usable_gib": memory / 2**30}),
    )


def make_weights(voice: Voice, settings: Settings) -> None:
    """Leaves the weights of a seed for the other jobs: the official code's, where that is."""
    from l3ac_jax.evaluation.random_params import random_params
    from l3ac_jax.weights.folder import save_model

    config = experiment(settings)
    if has_torch():
        from l3ac_jax.official.weights import from_torch
        from l3ac_jax.oracle.codec import seeded_codec

        official = seeded_codec(config.model)
        official.save_checkpoint(work_file(settings, "official"))
        params = from_torch(work_file(settings, "official"), config.model)
    else:
        params = random_params(config.model, 0)
    save_model(work_file(settings, "model"), config, params)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def load_codec(settings: Settings, precision: Precision) -> L3AC:
    """Our codec with the weights that the first job left."""
    from l3ac_jax.codec.pretrained import get_model

    return get_model(work_file(settings, "model"), precision)


def say_memory_at_end(voice: Voice) -> None:
    """The peak of the device's memory, where it is counted."""

    def figures() -> dict[str, Any]:
        import jax

        stats = jax.devices()[0].memory_stats() or {}
        peak = stats.get("peak_bytes_in_use")
        return {} if peak is None else {"peak_gib": peak / 2**30}

    voice.at_end = figures


def make_corpus(voice: Voice, settings: Settings) -> None:
    """Another first job: a prepared corpus of recordings that ship with the package."""
    from l3ac_jax.data.prepare import prepare as prepare_corpus
    from l3ac_jax.data.recordings import Cut

    folder = work_file(settings, "recordings")
    _write_recordings(folder, settings.tiny)
    cut = Cut(SAMPLE_RATE, min_seconds=0.1, silence=1e-3)
    info, _ = prepare_corpus("folder", folder, corpus(settings), cut)
    voice.figures(clips=info.splits["train"].clips, audio_s=info.splits["train"].seconds)


def corpus(settings: Settings) -> str:
    """The prepared corpus: the one given, or the one made."""
    return settings.data or str(work_file(settings, "corpus"))


def data_words(settings: Settings) -> list[str]:
    """Words of the command line that put the corpus into a configuration."""
    path = Path(corpus(settings))
    about = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
    corpora = f'[{{corpus = "{about["corpus"]}", path = "{path}"}}]'
    validated = about["splits"].get("validation", {"clips": 0})["clips"] > 0
    split = "validation" if validated else "train"
    return [
        *("--data.corpora", corpora, "--data.evaluation.corpora", corpora),
        *("--data.evaluation.split", split),
    ]


def _write_recordings(folder: Path, tiny: bool) -> None:
    import soundfile

    folder.mkdir(exist_ok=True)
    count, seconds = (20, 0.5) if tiny else (CORPUS_CLIPS, CORPUS_SECONDS)
    audio = speech(seconds, SAMPLE_RATE)[0]
    for number in range(count):
        clip = np.roll(audio, -2000 * number)
        soundfile.write(folder / f"{number:02}.wav", clip, SAMPLE_RATE, subtype="PCM_16")
