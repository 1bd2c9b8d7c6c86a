"""What is exact says so in the program, and no setting of the process changes it."""

import contextlib
import re
from pathlib import Path

import jax
import numpy as np
import soundfile as sf

import l3ac_jax
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.programs import forget_programs

TOKENS = 5
AUDIO = Path(__file__).parents[1] / "fixtures" / "librivox_sense_0870.wav"


def programs(codec: L3AC) -> list[str]:
    """Encoder and decoder, as they go to the compiler."""
    samples, count = TOKENS * codec.hop_length, np.array([TOKENS], np.int32)
    audio = np.zeros((1, samples), np.float32)
    features = np.zeros((1, TOKENS, codec.config.feature_dim), np.float32)
    return [
        codec._padded.encoder.lowered(codec._folded(), audio, count * codec.hop_length),
        codec._padded.decoder.lowered(codec._folded(), features, count),
    ]


def products(program: str) -> list[str | None]:
    """What is stated of each matrix product and convolution."""
    lines = re.findall(r"stablehlo\.(?:dot_general|convolution).*", program)
    pattern = r"precision(?:_config)? = \[(?:#stablehlo<precision )?(\w+)"
    stated = [re.search(pattern, line) for line in lines]
    return [match and match[1] for match in stated]


@contextlib.contextmanager
def other_settings():
    """Those that change types, products or the rules of shapes."""
    with (
        jax.enable_x64(True),
        jax.default_matmul_precision("bfloat16"),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        yield


def test_every_product_is_stated():
    for program in programs(l3ac_jax.get_model("small")):
        assert len(products(program)) > 10
        assert set(products(program)) == {"HIGHEST"}
    encoder, decoder = map(products, programs(l3ac_jax.get_model("small", "fast")))
    assert set(decoder) == {"HIGH"}
    # the quantizer decides tokens: its two projections are exact in any case
    assert sorted(encoder) == ["HIGH"] * (len(encoder) - 2) + ["HIGHEST"] * 2


def test_settings_of_the_process_change_nothing():
    audio = sf.read(AUDIO, frames=3000, start=6000, dtype="float32")[0][None]
    plain = l3ac_jax.get_model("small")
    tokens, text = np.asarray(plain.encode(audio)), programs(plain)
    decoded = np.asarray(plain.decode(tokens))
    forget_programs()
    with other_settings():
        codec = l3ac_jax.get_model("small")
        assert programs(codec) == text
        np.testing.assert_array_equal(codec.encode(audio), tokens)
        again = codec.decode(tokens)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, decoded)
