"""Codecs in other processes and threads, and what they share in one."""

import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import jax
import numpy as np
import pytest

import l3ac_jax
from l3ac_jax.codec.programs import forget_programs
from l3ac_jax.system.compilation import COMPILED
from tests.quick import speech

AUDIO = speech(600)


@pytest.fixture
def codec(model_folder):
    return l3ac_jax.get_model(model_folder)


@pytest.fixture
def compilations():
    """The programs that are compiled while a test runs."""
    names = []

    def on_duration(event: str, _: float, **details: object) -> None:
        if event == COMPILED:
            names.append(details.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(on_duration)
    yield names
    jax.monitoring.unregister_event_duration_listener(on_duration)


def test_a_second_codec_of_a_model_compiles_nothing(codec, model_folder, compilations):
    forget_programs()
    first = l3ac_jax.get_model(model_folder)
    tokens = first.encode(AUDIO)
    audio = first.decode(tokens)
    assert compilations
    del first, compilations[:]

    second, lines = l3ac_jax.get_model(model_folder), []
    second.on_compile = lines.append
    np.testing.assert_array_equal(second.encode(AUDIO), tokens)
    np.testing.assert_array_equal(second.decode(tokens), audio)
    assert not compilations and not lines


def test_codecs_that_share_programs_keep_their_own_parameters(codec):
    negative = jax.tree.map(lambda leaf: -np.asarray(leaf), codec.params)
    other = l3ac_jax.L3AC(codec.config, negative)
    expected = codec.encode(AUDIO)
    assert not np.array_equal(other.encode(AUDIO), expected)
    np.testing.assert_array_equal(codec.encode(AUDIO), expected)


def test_a_codec_is_pickled_as_what_it_is_made_of(codec):
    before = pickle.dumps(codec)
    tokens = codec.encode(AUDIO)
    codec.on_compile = print
    again = pickle.loads(pickle.dumps(codec))
    assert again == codec and hash(again) == hash(codec) and again is not codec
    assert (again.config, again.name, again.precision) == (codec.config, codec.name, "exact")
    np.testing.assert_array_equal(again.encode(AUDIO), tokens)
    # whatever it has computed, and wherever it comes from, it is the same bytes: caches find it
    assert pickle.dumps(codec) == pickle.dumps(again) == before


def test_codecs_with_other_parameters_names_or_precision_are_others(codec):
    def made(params=codec.params, name=codec.name, precision=codec.precision):
        return l3ac_jax.L3AC(codec.config, params, name, precision)

    assert made() == codec
    negative = jax.tree.map(lambda leaf: -np.asarray(leaf), codec.params)
    for other in (made(params=negative), made(name="other"), made(precision="fast")):
        assert other != codec and pickle.dumps(other) != pickle.dumps(codec)


def test_what_datasets_has_mapped_with_a_codec_it_finds_again(codec):
    hasher = pytest.importorskip("datasets.fingerprint").Hasher

    def function_of(codec):
        return lambda row: {"tokens": codec.encode(np.array([row["audio"]]))[0]}

    before = hasher.hash(function_of(codec))
    codec.encode(AUDIO)
    assert hasher.hash(function_of(pickle.loads(pickle.dumps(codec)))) == before
    assert hasher.hash(function_of(l3ac_jax.L3AC(codec.config, codec.params))) != before


def test_a_spawned_worker_computes_with_a_codec(codec):
    expected = codec.encode(AUDIO)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        np.testing.assert_array_equal(pool.submit(codec.encode, AUDIO).result(), expected)


def test_threads_share_a_codec(codec):
    expected = np.asarray(codec.encode(AUDIO))
    fresh = pickle.loads(pickle.dumps(codec))
    with ThreadPoolExecutor(4) as pool:
        for tokens in pool.map(fresh.encode, [AUDIO] * 8):
            np.testing.assert_array_equal(tokens, expected)


FORKS = """
import os, pickle, sys, warnings
import numpy as np
from l3ac_jax.errors import ForkError

warnings.simplefilter("ignore")  # JAX warns of each fork
codec, audio = pickle.load(open(sys.argv[1], "rb")), np.zeros((1, 60), np.float32)

def in_a_fork():
    process = os.fork()
    if process == 0:
        try:
            codec.encode(audio)
            os._exit(3)
        except ForkError as error:
            print(error, flush=True)
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

print(in_a_fork(), flush=True)
codec.encode(audio)
print(in_a_fork(), flush=True)
codec.encode(audio)  # the parent goes on
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_fork_computes_only_if_its_parent_has_not(codec, tmp_path):
    (tmp_path / "codec").write_bytes(pickle.dumps(codec))
    command = [sys.executable, "-c", FORKS, str(tmp_path / "codec")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    first, message, second = done.stdout.splitlines()
    assert (first, second) == ("3", "4")
    assert "forked" in message and '"spawn"' in message
