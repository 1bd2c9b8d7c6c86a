"""Clips in groups: each gives what it gives alone, in an order that depends on the clips only."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from l3ac_jax.codec.many.groups import Computation, PendingClip, computed
from l3ac_jax.errors import ArgumentError
from l3ac_jax.system.background import ahead
from tests.rounding import assert_same_tokens

CODEC: Any = SimpleNamespace(frame_rate=100.0)


def test_work_in_the_background_keeps_its_order_and_its_errors():
    def work(item: int) -> int:
        time.sleep(0.01 * (item % 3))
        return 10 // item

    results = list(ahead(work, range(3, -1, -1), 2))
    assert results[:3] == [(3, 3), (2, 5), (1, 10)]
    assert results[3][0] == 0
    assert isinstance(results[3][1], ZeroDivisionError)


def test_work_in_the_background_is_bounded():
    taken: list[int] = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    blocked = threading.Event()
    results = ahead(lambda item: blocked.wait(5) and item, items(), 4, here=lambda item: item == 0)
    blocked.set()
    next(results)
    blocked.clear()
    threading.Timer(0.1, blocked.set).start()
    next(results)
    assert len(taken) <= 1 + 4
    results.close()


def test_an_item_can_be_worked_on_in_the_thread_of_the_caller():
    threads = dict(
        ahead(lambda _: threading.current_thread(), range(4), 2, here=lambda item: item == 2)
    )
    assert [threads[item] is threading.main_thread() for item in range(4)] == [0, 0, 1, 0]


class Doubling(Computation):
    """Groups of three rows; negative values are an error."""

    def __init__(self):
        self.shapes: list[tuple[int, ...]] = []
        super().__init__(CODEC, 1, self._double)

    def size(self, bucket: int) -> int:
        return 3

    def _double(self, rows: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        self.shapes.append(rows.shape)
        if (rows < 0).any():
            raise ArgumentError("negative")
        return [2 * row[:length] for row, length in zip(rows, lengths, strict=True)]


def test_clips_come_back_each_with_its_channels_and_nothing_of_the_others():
    doubling = Doubling()
    sizes = [(1, 5), (2, 9), (1, 700), (1, 3), (2, 650), (1, 24)]
    clips = [PendingClip(key, np.full(size, key + 1), doubling) for key, size in enumerate(sizes)]
    clips.insert(2, PendingClip("passed on", result="as it is"))
    results = dict(computed(clips))
    assert results.pop("passed on") == "as it is"
    assert sorted(results) == list(range(6))
    for key, size in enumerate(sizes):
        np.testing.assert_array_equal(results[key], np.full(size, 2 * (key + 1)))
    # Every batch has three rows, also the last ones: another number would be compiled.
    assert {shape[0] for shape in doubling.shapes} == {3}
    # The short ones and the long ones are not mixed.
    assert all(shape[1] < 50 or shape[1] >= 650 for shape in doubling.shapes)


def test_the_order_is_the_same_each_time():
    def order():
        clips = [
            PendingClip(key, np.ones((1, 5 + 300 * (key % 3))), Doubling()) for key in range(20)
        ]
        return [key for key, _ in computed(clips)]

    assert order() == order()


def test_a_clip_that_fails_costs_no_other():
    doubling = Doubling()
    clips = [PendingClip(key, np.full((1, 4), 1 - 2 * (key == 1)), doubling) for key in range(3)]
    results = dict(computed(clips))
    assert isinstance(results[1], ValueError)
    for key in (0, 2):
        np.testing.assert_array_equal(results[key], np.full((1, 4), 2))


def test_a_fault_of_the_program_is_not_taken_for_one_of_a_clip():
    def broken(*_):
        raise RuntimeError("out of memory")

    clips = [PendingClip(0, np.ones((1, 4)), Computation(CODEC, 1, broken))]
    with pytest.raises(RuntimeError, match="out of memory"):
        list(computed(clips))


def test_files_in_groups_give_the_tokens_and_the_audio_that_they_give_alone(
    small_codec, speech, stereo, tmp_path, monkeypatch
):
    """Groups as on an accelerator: on a CPU, clips are computed one by one."""
    from l3ac_jax.audio.reading import read_audio
    from l3ac_jax.audio.resampling import resample
    from l3ac_jax.audio.writing import write_audio
    from l3ac_jax.codec.files import encode_file
    from l3ac_jax.codec.many.batches import decode_all, encode_files

    samples = read_audio(speech).samples
    for length in (1, 100, 3000, 3843):
        write_audio(tmp_path / f"{length}.wav", samples[:, :length], 16000)
    (tmp_path / "text.wav").write_text("text")
    paths = sorted(tmp_path.iterdir())
    alone = {path: encode_file(small_codec, path) for path in paths if path.name != "text.wav"}
    monkeypatch.setattr(Computation, "size", lambda self, bucket: 3)
    encoded = dict(encode_files(small_codec, paths))
    assert set(encoded) == set(paths)
    assert "text.wav: is not an audio file" in str(encoded[tmp_path / "text.wav"])
    for path, expected in alone.items():
        samples = resample(read_audio(path).samples, expected.sample_rate, 16000)
        # a product of three rows need not add up in the order of one
        assert_same_tokens(small_codec, samples, encoded[path].tokens, expected.tokens)
        assert encoded[path].samples == expected.samples
    for path, decoded in decode_all(lambda *_: small_codec, encoded.items()):
        if path in alone:
            (audio,) = decoded.blocks
            expected = np.concatenate(
                [np.asarray(small_codec.decode(row[None])) for row in encoded[path].tokens]
            )
            # float32 rounding: a product of three rows need not add up in the order of one
            np.testing.assert_allclose(audio, expected, atol=1e-5)
        else:
            assert isinstance(decoded, ValueError)
