"""Which codecs words on a command line name."""

import shutil

import pytest

from l3ac_jax.errors import ReferenceCodecError
from l3ac_jax.evaluation.references import nearest_references

needs_programs = pytest.mark.skipif(
    shutil.which("c2enc") is None or shutil.which("opusenc") is None,
    reason="codec2 or opus-tools is not installed",
)


@needs_programs
def test_nearest_rates_are_chosen_once_each():
    codecs = nearest_references(["codec2", "opus", "codec2:3200"], [2988.6, 998.2, 748.6])
    assert [codec.info.name for codec in codecs] == [
        "Codec 2 3200",
        "Codec 2 1200",
        "Codec 2 700C",
        "Opus 6k",
    ]


@needs_programs
def test_rates_are_in_bits_or_in_kilobits():
    codecs = nearest_references(["opus:12", "opus:12000", "opus:16"], [], 24000)
    assert [codec.info.bitrate for codec in codecs] == [12000, 16000]
    assert {codec.info.sample_rate for codec in codecs} == {24000}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mp3", "mp3: reference codecs are opus and opus:RATE"),
        ("codec2:3000", "codec2:3000: the modes of Codec 2 are 3200, 2400"),
        ("codec2:3200@folder", "codec2:3200@folder: reference codecs are"),
        ("opus:fast", "opus:fast: reference codecs are"),
        ("opus:nan", "opus:nan: reference codecs are"),
        ("opus:-6", "opus:-6: reference codecs are"),
        ("opus:6@folder", "opus:6@folder: reference codecs are"),
        ("opus:3000", "opus:3000: opusenc takes 6000 to 256000 bit/s"),
        ("noise", "noise: noise takes how far below the clip it is in dB, -200 to 200: noise:20"),
        ("noise:inf", "noise:inf: noise takes"),
        ("noise:nan", "noise:nan: noise takes"),
        ("noise:-9999", "noise:-9999: noise takes how far below the clip it is in dB, -200 to 200"),
        ("noise:20@folder", "noise:20@folder: reference codecs are"),
        ("", ": reference codecs are"),
    ],
)
def test_unknown_references_are_named(word, message):
    with pytest.raises(ReferenceCodecError, match=message):
        nearest_references([word], [1000])
