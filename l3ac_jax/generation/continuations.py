"""How recordings go on after a prompt: as they did, as a codec has it, and as a model would.

Each way has one continuation for each clip. Between what was recorded and the same tokens in a
random order, which has their frequencies and nothing else, stands what a language model draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.generation.folder import TrainedModel
from l3ac_jax.generation.sampling import language_tokens, sampled_tokens

__all__ = ["RECORDED", "Continuation", "Drawing", "Way", "ways_to_go_on"]

RECORDED, CODED, SHUFFLED = "recorded", "coded", "shuffled"
BATCH = 16  # clips that are drawn at once

Audio = Float[np.ndarray, " time"]
Tokens = Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Drawing:
    """How tokens are drawn from a model's distributions."""

    temperature: float
    top_p: float

    @property
    def name(self) -> str:
        """What a table calls it."""
        return f"drawn, T {self.temperature:g}, top-p {self.top_p:g}"


class Continuation(NamedTuple):
    """What comes after one clip's prompt; a recording itself has no tokens."""

    audio: Audio
    tokens: Tokens | None


class Way(NamedTuple):
    """One way to go on, with a continuation for each clip."""

    name: str
    continuations: list[Continuation]


def ways_to_go_on(
    trained: TrainedModel,
    codec: L3AC,
    clips: Sequence[Audio],
    prompt: int,
    drawings: Sequence[Drawing],
    seed: int,
) -> Iterator[Way]:
    """All ways, one after the other; `prompt` and what follows are of whole tokens of the codec.

    Clips are of one length, at the codec's rate. The codec hears a clip as a whole, so that the
    first frames after the prompt are what it makes of the prompt too.
    """
    hop = codec.hop_length
    yield Way(RECORDED, [Continuation(clip[prompt * hop :], None) for clip in clips])
    known = np.concatenate([np.asarray(codec.encode(clip[None])) for clip in clips])
    yield _decoded(CODED, codec, known, prompt)
    random = np.random.default_rng(seed)
    mixed = random.permuted(known[:, prompt:], axis=1)
    yield _decoded(SHUFFLED, codec, np.concatenate([known[:, :prompt], mixed], axis=1), prompt)
    for number, drawing in enumerate(drawings):
        key = jax.random.fold_in(jax.random.key(seed), number)
        rows = [
            sampled_tokens(
                language_tokens(
                    trained,
                    known[first : first + BATCH, :prompt],
                    drawing.temperature,
                    drawing.top_p,
                ),
                jax.random.fold_in(key, first),
                known.shape[1],
            )
            for first in range(0, len(known), BATCH)
        ]
        yield _decoded(drawing.name, codec, np.concatenate(rows), prompt)


def _decoded(name: str, codec: L3AC, tokens: Int[np.ndarray, "clips n"], prompt: int) -> Way:
    heard = prompt * codec.hop_length
    return Way(
        name,
        [
            Continuation(np.asarray(codec.decode(row[None]))[0, heard:], row[prompt:])
            for row in tokens
        ],
    )
