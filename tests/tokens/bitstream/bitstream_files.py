"""Small encoded audio and its .l3ac files, for the tests of files that are whole or damaged."""

import io
from dataclasses import replace

import numpy as np

from l3ac_jax.tokens.bitstream.files import Entropy, read_encoded, write_encoded
from l3ac_jax.tokens.format import EncodedAudio, TokenFormat

FORMAT = TokenFormat("0123456789abcdef", "fedcba9876543210", 16000, 4, (3, 5))


def written(encoded: EncodedAudio, entropy: Entropy = "plain", block_tokens: int = 512) -> bytes:
    """The bytes of the file."""
    stream = io.BytesIO()
    write_encoded(stream, encoded, entropy, block_tokens)
    return stream.getvalue()


def read(data: bytes, on_damage=None) -> EncodedAudio:
    """What the bytes of a file hold, which is called some.l3ac."""
    return read_encoded(io.BytesIO(data), "some.l3ac", on_damage)


def assert_same(encoded: EncodedAudio, expected: EncodedAudio) -> None:
    """Equal in everything, tokens in int32."""
    np.testing.assert_array_equal(encoded.tokens, expected.tokens)
    assert encoded.tokens.dtype == np.int32
    assert vars(replace(encoded, tokens=expected.tokens)) == vars(expected)
