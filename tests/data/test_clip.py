"""Records: what goes in comes out, damage is found, levels are those of the recipe."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from l3ac_jax.data.clip import Record, encode_record, normalize, peak_level
from l3ac_jax.errors import RecordError
from tests.data.trees import speech


@settings(max_examples=50)
@given(
    samples=hnp.arrays(np.int16, st.integers(1, 5000)),
    id=st.text(),
    source=st.text(),
    text=st.none() | st.text(),
    data=st.data(),
)
def test_a_record_gives_back_the_clip(samples, id, source, text, data):
    packed = encode_record(samples, 16000, id, source, text)
    assert packed == encode_record(samples, 16000, id, source, text)
    record = Record(packed)
    info = record.info
    assert (info.id, info.source, info.text) == (id, source, text)
    assert (info.samples, info.sample_rate) == (len(samples), 16000)
    np.testing.assert_array_equal(record.audio() * 32768, samples)
    start = data.draw(st.integers(0, len(samples) - 1))
    count = data.draw(st.integers(1, len(samples) - start))
    np.testing.assert_array_equal(record.audio(start, count) * 32768, samples[start:][:count])


@settings(max_examples=50)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.integers(0, 300))
def test_damage_is_found(place, bit, cut):
    packed = encode_record(speech(0.1), 16000, "id", "source")
    flipped = bytearray(packed)
    flipped[int(place * len(packed))] ^= 1 << bit
    for damaged in (bytes(flipped), packed[:cut]):
        with pytest.raises(RecordError, match="checksum"):
            Record(damaged)


def test_level_and_normalization_are_those_of_the_recipe():
    samples = speech(3)
    samples[100:110] = 30000  # clipped: the mean is over 48 samples
    audio = samples.astype(np.float64) / 32768
    count = int(len(audio) * 0.001)
    top = np.sort(np.abs(audio))[-count:].mean()
    assert peak_level(samples) == pytest.approx(top, rel=1e-12)
    expected = np.clip(audio / (top / 0.75 + 1e-6), -1, 1)
    np.testing.assert_allclose(
        normalize(np.float32(audio), peak_level(samples)), expected, atol=1e-6
    )
    assert np.abs(expected).max() == 1


def test_the_level_of_a_very_short_clip_is_its_peak():
    assert peak_level(np.array([5, -32768, 7], np.int16)) == 1.0
