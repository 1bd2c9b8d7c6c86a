"""Single audio files of any length through a codec, in bounded memory."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np

from l3ac_jax.audio_stream import open_reader
from l3ac_jax.codec import L3AC
from l3ac_jax.encoded import EncodedAudio

__all__ = ["encode_file"]


def encode_file(
    codec: L3AC, source: str | os.PathLike[str], stream: BinaryIO | None = None
) -> EncodedAudio:
    """The tokens of an audio file at any sample rate, each channel by itself.

    With `stream`, that is read, and `source` only says where it comes from. Raises AudioError for
    what is missing, empty, damaged or not audio.
    """
    with open_reader(source, stream) as reader:
        encoder = codec.chunked_encoder(reader.channels)
        tokens = [encoder.push(block) for block in reader.blocks(codec.sample_rate)]
        tokens.append(encoder.finish())
        return EncodedAudio(
            np.concatenate(tokens, axis=1),
            reader.samples,
            reader.sample_rate,
            codec.name,
            codec.token_format,
        )
