"""What evaluate.py, listen.py, applications.py and phases.py are told in the same words."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    from l3ac_jax.evaluation.clips import EvaluationClip
    from l3ac_jax.evaluation.codecs import CodecUnderTest


@dataclass(frozen=True, kw_only=True)
class CodingOptions:
    """Which codecs, and on what."""

    # One field: as two, all words go to the first.
    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL... DATA")]
    """Names, model folders or files, or training runs; then a folder of audio files, or a file."""
    references: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CODEC")] = ()
    """Other codecs beside the models, each at its rates nearest to the models' or at one that is
    named: opus, opus:RATE, codec2, codec2:MODE (opus-tools and codec2 installed); encodec, dac,
    mimi, snac, with :RATE, and with @WEIGHTS of a folder or hub repository, as
    dac:3@descript/dac_44khz (the extra `references`). Rates are in bit/s, below 450 in kbit/s.
    noise:DB is no codec but the recording with noise DB below it: what scores make of that."""
    clips: int | None = None
    """At most so many clips, drawn from the domains in turn."""
    seed: int = 0
    """Of the choice of clips and of the confidence intervals."""

    @property
    def data(self) -> str:
        """The last of the inputs."""
        return self.inputs[-1]

    def chosen_clips(self) -> list[EvaluationClip]:
        """Raises ArgumentError for options, TreeError for data without audio."""
        if len(self.inputs) < 2:
            raise ArgumentError(f"MODEL... DATA: two or more are needed, got {len(self.inputs)}")
        from l3ac_jax.evaluation.clips import choose_clips, find_clips

        return choose_clips(find_clips(self.data), self.clips, self.seed)

    def codecs(self) -> list[CodecUnderTest]:
        """The models, then the references. Raises what `get_model` and `nearest_references` do."""
        from l3ac_jax.codec.pretrained import get_model
        from l3ac_jax.evaluation.codecs import NeuralCodec
        from l3ac_jax.evaluation.evaluate import scoring_rate
        from l3ac_jax.evaluation.references import nearest_references
        from l3ac_jax.system.compilation import keep_compiled_programs

        keep_compiled_programs()
        names = dict.fromkeys(self.inputs[:-1])
        models = [NeuralCodec(name, get_model(name)) for name in names]
        bitrates = [model.info.bitrate for model in models]
        sample_rate = scoring_rate([model.info for model in models])
        return [*models, *nearest_references(self.references, bitrates, sample_rate)]


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(CodingOptions):
    """Which codecs, on what, and by how many processes."""

    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that compute scores."""

    def chosen_clips(self) -> list[EvaluationClip]:
        """Raises ArgumentError for options, TreeError for data without audio."""
        if self.workers < 1:
            raise ArgumentError(f"--workers: at least 1 is needed, got {self.workers}")
        return super().chosen_clips()
