"""Two channels through a codec of one: as left and right, as mid and side, and as mid alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from l3ac_jax.metrics.signals import mel_distance, si_sdr
from l3ac_jax.metrics.stereo import Stereo, image_scores, mid_side

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC

__all__ = ["WAYS", "StereoScores", "Way", "code_stereo"]


class Way(NamedTuple):
    """How two channels become streams, and what is decoded two channels again."""

    streams: int
    split: Callable[[Stereo], Float[np.ndarray, "streams time"]]
    join: Callable[[Float[np.ndarray, "streams time"]], Stereo]


WAYS = {
    "left and right": Way(2, lambda audio: audio, lambda coded: coded),
    "mid and side": Way(2, mid_side, lambda coded: 2 * mid_side(coded)),
    "mid alone": Way(
        1, lambda audio: mid_side(audio)[:1], lambda coded: np.repeat(coded, 2, axis=0)
    ),
}
"""By name. The first two take the same bits, the third one half of them."""


class StereoScores(NamedTuple):
    """One clip by one way; means of both channels, and what became of the image."""

    way: str
    clip: str
    si_sdr: float
    mel: float
    width: float
    level_difference: float
    image_sdr: float


def code_stereo(codec: L3AC, clips: Sequence[tuple[str, Stereo]]) -> Iterator[StereoScores]:
    """Clips by name, at the codec's sample rate, by each way."""
    rate = codec.sample_rate
    for name, audio in clips:
        for way, (_, split, join) in WAYS.items():
            tokens = codec.encode(np.ascontiguousarray(split(audio)))
            decoded = join(np.asarray(codec.decode(tokens))[:, : audio.shape[1]])
            pairs = list(zip(audio, decoded, strict=True))
            yield StereoScores(
                way,
                name,
                float(np.mean([si_sdr(*pair) for pair in pairs])),
                float(np.mean([mel_distance(*pair, rate) for pair in pairs])),
                **image_scores(audio, decoded, rate),
            )
