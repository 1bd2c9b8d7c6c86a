"""Evaluation in the course of training: losses, STOI, PESQ, use of the codebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float32

from l3ac_jax.codec.buckets import bucket_tokens
from l3ac_jax.config.training import ValidationConfig
from l3ac_jax.data.clip import Clip
from l3ac_jax.metrics.speech import CodebookUse, ScorePool, mean_scores
from l3ac_jax.system.compilation import product_options
from l3ac_jax.training.devices import Devices
from l3ac_jax.training.objective import Objective, Weights

Signal = Float32[np.ndarray, " time"]


@dataclass(frozen=True)
class Example:
    """One clip, before and after."""

    name: str
    reference: Signal
    decoded: Signal


@dataclass(frozen=True)
class Evaluation:
    """Means over the clips, and the first few of them."""

    scores: dict[str, float]
    examples: list[Example]


class Evaluator:
    """Runs the model over the same clips each time, all padded to one length: one compilation.

    On several devices, each takes its share of a batch; all processes get the same losses, the
    scores of signals (STOI, PESQ) are those of process 0, and NaN in the others.
    """

    def __init__(
        self,
        objective: Objective,
        clips: Sequence[Clip],
        devices: Devices,
        settings: ValidationConfig,
    ):
        config = objective.config
        self._clips = clips
        self._devices = devices
        self._rate = config.sample_rate
        self._codebook_size = config.codebook_size
        self._hop = config.hop_length
        self._examples = settings.examples
        self._batch_size = math.ceil(settings.batch_size / devices.count) * devices.count
        longest = max(clip.info.samples for clip in clips)
        tokens = bucket_tokens(-(-longest // self._hop), config.frame_rate)
        self._samples = tokens * self._hop
        self._pool = ScorePool(settings.workers) if jax.process_index() == 0 else None
        self._evaluate = jax.jit(
            objective.of_evaluation,
            out_shardings=devices.replicated,
            compiler_options=product_options(),
        )

    def __call__(self, params: dict, whisper: dict | None, weights: Weights) -> Evaluation:
        """The scores of a model, by name: `loss` with these weights and its terms, `stoi`, `pesq`,
        `codebook_usage` (share of the codebook that is used), `codebook_entropy` (bits a token).
        """
        use = CodebookUse(self._codebook_size)
        terms: list[dict[str, float]] = []
        counts: list[int] = []
        examples: list[Example] = []
        for first in range(0, len(self._clips), self._batch_size):
            clips = [self._clips[i] for i in range(first, min(first + self._batch_size, self.size))]
            batch = self._batch(clips)
            placed = self._devices.divide_whole(batch)
            result, losses = jax.device_get(self._evaluate(params, whisper, placed, weights))
            terms.append({name: float(value) for name, value in losses.items()})
            counts.append(len(clips))
            for row, clip in enumerate(clips):
                use.add(result.tokens[row, : -(-len(clip.audio) // self._hop)])
                decoded = np.asarray(result.audio[row, : len(clip.audio)])
                if self._pool is not None:
                    self._pool.submit(clip.audio, decoded, self._rate)
                if len(examples) < self._examples:
                    examples.append(Example(f"clip_{first + row}", clip.audio, decoded))
        means = {
            name: float(np.average([part[name] for part in terms], weights=counts))
            for name in terms[0]
        }
        scores = {} if self._pool is None else mean_scores(self._pool.results())
        return Evaluation(
            {
                **means,
                "stoi": scores.get("stoi", math.nan),
                "pesq": scores.get("pesq", math.nan),
                "codebook_usage": use.usage,
                "codebook_entropy": use.entropy,
            },
            examples,
        )

    def compile(self, params: dict, whisper: dict | None, weights: Weights) -> None:
        """Have the program in the persistent cache before it is needed."""
        batch = self._devices.divide_whole(self._batch([]))
        self._evaluate.lower(params, whisper, batch, weights).compile()

    @property
    def size(self) -> int:
        """How many clips there are."""
        return len(self._clips)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _batch(self, clips: Sequence[Clip]) -> dict[str, np.ndarray]:
        """Clips padded to the common size; those that fill up the last batch have no samples."""
        audio = np.zeros((self._batch_size, self._samples), np.float32)
        lengths = np.zeros(self._batch_size, np.int32)
        for row, clip in enumerate(clips):
            audio[row, : len(clip.audio)] = clip.audio
            lengths[row] = len(clip.audio)
        return {"audio": audio, "lengths": lengths}
