"""What files of other people cannot do: run code, reach other files, or take all memory.

Beside the tests of each reader (tests/official/test_hostile_torch_files.py,
tests/tokens/bitstream/test_hostile_files.py, tests/weights/test_file.py, tests/audio): what is
left between them. docs/security.md says the whole.
"""

import ast
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from safetensors.numpy import save_file

import l3ac_jax
from l3ac_jax.audio.reading import open_reader
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.config import CodecConfig, load_config
from l3ac_jax.errors import (
    AudioError,
    BitstreamError,
    ConfigError,
    ModelNotFoundError,
    TokenDatasetError,
    WeightsError,
)
from l3ac_jax.official.config import from_official_config
from l3ac_jax.tokens.bitstream.files import save
from l3ac_jax.tokens.dataset.index import read_index
from l3ac_jax.weights.file import load_model_file
from l3ac_jax.weights.folder import load_model
from l3ac_jax.weights.repositories import download_model
from tests.small_configs import SMALL_CONFIGS

PACKAGE = Path(l3ac_jax.__file__).parent

# Unpickles what this program itself has sent to its own workers.
OWN_PIPES = {"data/loader.py", "system/processes.py"}
EXECUTES = {"eval", "exec", "compile", "__import__"}
UNPICKLES = {"load", "loads", "Unpickler"}


def calls(tree):
    """(module or None, function, its keywords) of each call by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function, keywords = node.func, {word.arg: word.value for word in node.keywords}
            if isinstance(function, ast.Name):
                yield None, function.id, keywords
            elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                yield function.value.id, function.attr, keywords


def dangers(path):
    for module, function, keywords in calls(ast.parse(path.read_text(encoding="utf-8"))):
        true = {name for name, value in keywords.items() if getattr(value, "value", None) is True}
        if module is None and function in EXECUTES:
            yield function
        elif (
            (module in ("pickle", "marshal", "dill", "joblib") and function in UNPICKLES)
            or module == "yaml"
            or (module == "os" and function in ("system", "popen"))
        ):
            yield f"{module}.{function}"
        elif (module, function) == ("torch", "load") and "weights_only" not in true:
            yield "torch.load"
        elif true & {"shell", "allow_pickle", "trust_remote_code"}:
            yield f"{function}({min(true)}=True)"


def test_no_module_unpickles_or_executes_what_it_reads():
    found = {
        path.relative_to(PACKAGE).as_posix(): [*dangers(path)] for path in PACKAGE.rglob("*.py")
    }
    assert {path for path, what in found.items() if what} == OWN_PIPES
    assert {what for path in OWN_PIPES for what in found[path]} == {"pickle.loads"}


def test_the_search_for_dangers_finds_them(tmp_path):
    (tmp_path / "bad.py").write_text(
        "exec(a); pickle.load(f); np.load(f, allow_pickle=True); torch.load(f); run(c, shell=True)"
    )
    assert len([*dangers(tmp_path / "bad.py")]) == 5


# Models: a configuration that claims a network larger than any.
def absurd(**changes):
    tables = SMALL_CONFIGS["baseline"].model_dump(mode="json", exclude_none=True)
    for key, value in changes.items():
        table, _, name = key.partition("__")
        if name:
            tables[table][name] = value
        else:
            tables[table] = value
    return tables


ABSURD = {
    "layers": absurd(encoder__depths=[10**9, 1, 2]),
    "channels": absurd(decoder__dims=[10**9, 12, 8]),
    "features": absurd(feature_dim=4 * 10**9),
    "transformer": absurd(transformer__encoder_depth=10**9),
    "window": absurd(transformer__window_size=10**9),
    "heads": absurd(transformer__heads=10**9),
    "kernels": absurd(tpooling__encoder_kernels=[10**9 + 1]),
    "sample rate": absurd(sample_rate=10**12),
    "compression": absurd(transformer__compress_rate=10**9),
    "rates": absurd(encoder__rates=[2**14] * 2, decoder__rates=[2**14] * 2),
    "stages": absurd(
        encoder={"rates": [1] * 10**4, "dims": [8] * (10**4 + 1), "depths": [1] * (10**4 + 1)}
    ),
}


@pytest.mark.parametrize("tables", ABSURD.values(), ids=ABSURD)
def test_an_absurd_network_is_refused_at_once_and_not_traced(tables, tmp_path):
    start = time.monotonic()
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, {"l3ac_jax": json.dumps(tables)})
    with pytest.raises(ConfigError, match=r"model.safetensors: its configuration: ") as error:
        load_model_file(path)
    assert len(str(error.value).splitlines()) == 1
    (tmp_path / "config.toml").write_text(tomli_w.dumps({"model": tables}))
    with pytest.raises(ConfigError, match=r"config.toml"):
        load_model(tmp_path)
    assert time.monotonic() - start < 60  # a network of so many layers would take years


def test_a_network_of_more_layers_than_arrays_is_not_traced(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "l3ac_jax.weights.file.expected_params", lambda config: pytest.fail("traced")
    )
    tables = absurd(encoder__depths=[256, 256, 256])
    CodecConfig.model_validate(tables)
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, {"l3ac_jax": json.dumps(tables)})
    with pytest.raises(WeightsError, match=r"has 1 arrays for a network of \d+ layers"):
        load_model_file(path)


def safetensors(header: bytes, claimed: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if claimed is None else claimed) + header


@pytest.mark.parametrize(
    "content",
    [
        safetensors(b"{}", 2**62),
        safetensors(
            b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
        ),
        safetensors(b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'),
        safetensors(b'{"__metadata__":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001),
    ],
)
def test_a_safetensors_header_that_claims_terabytes_takes_no_memory(content, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        load_model_file(tmp_path / "model.safetensors")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_hostile_models_are_refused_with_little_memory(tmp_path):
    """All of them one after the other, where there are 300 MB more than the imports take."""
    for number, tables in enumerate(ABSURD.values()):
        metadata = {"l3ac_jax": json.dumps(tables)}
        save_file({"a": np.zeros(1, np.float32)}, tmp_path / f"{number}.safetensors", metadata)
    program = """
import resource, sys
from pathlib import Path
from l3ac_jax.errors import UserError
from l3ac_jax.weights.file import load_model_file
import safetensors.numpy
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 300_000_000,) * 2)
for path in sorted(Path(sys.argv[1]).glob("*.safetensors")):
    try:
        load_model_file(path)
    except UserError as error:
        print(path.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == len(ABSURD)


def test_a_large_file_of_another_network_is_not_read(tmp_path, monkeypatch):
    """64 GiB that are nowhere: a file with a hole."""
    config = SMALL_CONFIGS["baseline"].model_dump(mode="json")
    count = CodecConfig.model_validate(config).layer_count
    size = 2**36
    header = {"__metadata__": {"l3ac_jax": json.dumps(config)}}
    header |= {str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(count)}
    header["large"] = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(safetensors(json.dumps(header).encode()))
        file.truncate(file.tell() + size)
    with pytest.raises(WeightsError, match=r"does not fit its configuration:\n.*missing"):
        load_model_file(path)


def test_chunks_larger_than_their_arrays_are_not_read(model_folder, tmp_path):
    """Memory for a chunk is taken whole: one of 4 TB would end the process."""
    import tensorstore

    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    (folder / "params.sha256").unlink()  # as a stranger could have written it anew
    base = {"driver": "file", "path": f"{folder / 'params'}/"}
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
    name = next(key for key in store.list().result() if key.endswith(b"bias/.zarray"))
    array = json.loads(store.read(name).result().value)
    array["chunks"] = [10**12]
    store.write(name, json.dumps(array).encode()).result()
    with pytest.raises(WeightsError, match=r"bias: in chunks of \(1000000000000,\)"):
        load_model(folder)


# Models: other files.
def test_the_configuration_of_a_model_opens_no_other_file(tmp_path):
    (tmp_path / "secret.toml").write_text("[model]\n")
    folder = tmp_path / "model"
    folder.mkdir()
    for base in ("../secret.toml", str(tmp_path / "secret.toml"), "/dev/zero"):
        (folder / "config.toml").write_text(f'base = "{base}"\n')
        with pytest.raises(ConfigError, match=r"config.toml: base: .* stands alone"):
            load_model(folder)
    # Only the files that a user names may be based on others.
    (folder / "config.toml").write_text('base = "../secret.toml"\n')
    with pytest.raises(ConfigError, match=r"model.encoder: missing"):
        load_config(folder / "config.toml")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a device without end")
def test_a_base_without_end_is_not_read_to_its_end(tmp_path):
    (tmp_path / "a.toml").write_text('base = "/dev/zero"\n')
    with pytest.raises(ConfigError, match=r"/dev/zero: is no configuration: .*named as base by"):
        load_config(tmp_path / "a.toml")


def test_brackets_without_end_are_one_clear_error(tmp_path):
    (tmp_path / "a.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError, match=r"a.toml: is not valid TOML: it is nested too deeply"):
        load_config(tmp_path / "a.toml")
    run = tmp_path / "run" / "run"
    run.mkdir(parents=True)
    (run / "metadata").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="holds no configuration"):
        load_model(run.parent)
    (tmp_path / "dataset.json").write_text("[" * 100_000)
    with pytest.raises(TokenDatasetError, match="is damaged"):
        read_index(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".".join("a" * 5000) + " = 1", r"a\.a\.a\.\.\.: is nested too deeply"),
        ("a = " + "9" * 5000, "is not valid TOML"),
        ("a = " + "[" * 100_000, "is not valid TOML: it is nested too deeply"),
    ],
)
def test_toml_that_python_stumbles_over_is_one_clear_error(text, message, tmp_path):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "a.toml")
    with pytest.raises(ConfigError):
        from_official_config(tmp_path / "a.toml")


def test_a_word_that_toml_stumbles_over_is_a_word():
    config = Path(__file__).parents[1] / "configs" / "smoke.toml"
    for word in ("[" * 100_000, "9" * 5000):
        with pytest.raises(ConfigError, match=r"model\.feature_dim"):
            load_config(config, [f"--model.feature-dim={word}"])


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "params/../../secret", "config.toml"]
)
def test_checksums_are_of_the_parameters_alone(name, model_folder, tmp_path, monkeypatch):
    """The sums of other files would tell whether they are there, and what is in them."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "config.toml").write_bytes((model_folder / "config.toml").read_bytes())
    (folder / "params.sha256").write_text(f"{64 * '0'}  {name}\n")
    monkeypatch.setattr("l3ac_jax.weights.folder._sha256", lambda path: pytest.fail(f"read {path}"))
    with pytest.raises(WeightsError, match="is not in params/"):
        load_model(folder)


@pytest.mark.parametrize("revision", ["../../x", "/etc", "refs/../../x", "..", "a//b", "-x", "a/"])
def test_a_revision_is_no_path(revision, hub):
    with pytest.raises(ModelNotFoundError, match="give hf://OWNER/NAME"):
        download_model(f"hf://owner/name@{revision}")
    assert hub.downloads == []


# Tokens.
def test_a_few_tokens_are_not_decoded_to_terabytes(small_codec, tmp_path):
    """At 4 GHz, 512 tokens of a speech codec are 10**11 samples: each file says its own rate."""
    encoded = small_codec.encode_file(Path(__file__).parent / "fixtures" / "misc_crow.flac")
    path = tmp_path / "a.l3ac"
    save(path, encoded)
    data = path.read_bytes()
    length = struct.unpack_from("<H", data, 5)[0]
    claimed = encoded.codec_samples * (2**32 // 16000)
    header = data[:32] + struct.pack("<IQ", 2**32 - 1, claimed) + data[44 : length - 4]
    path.write_bytes(header + struct.pack("<I", zlib.crc32(header)) + data[length:])
    with pytest.raises(BitstreamError, match="sample rate must be 1 to 1048575"):
        small_codec.decode_file(path, tmp_path / "a.wav")
    assert not (tmp_path / "a.wav").exists()


def test_a_file_of_tokens_does_not_decide_what_is_downloaded(small_codec, hub, tmp_path, capsys):
    from l3ac_jax.cli.main import main

    encoded = small_codec.encode_file(Path(__file__).parent / "fixtures" / "misc_crow.flac")
    save(tmp_path / "a.l3ac", replace(encoded, model="hf://owner/name"))
    assert main(["decode", str(tmp_path / "a.l3ac"), str(tmp_path / "a.wav")]) == 2
    assert "hf://owner/name, which is not here: give --model" in capsys.readouterr().err
    assert hub.downloads == []


@pytest.mark.parametrize(
    "file", ["../a.arrow", "/tmp/a.arrow", "..", "", "a/b.arrow", "..\\a.arrow"]
)
def test_shards_are_in_the_folder_of_their_dataset(file, tmp_path):
    from tests.tokens.dataset.token_folders import write, write_sources

    write(write_sources(tmp_path / "in", {"a.wav": (1, 8)}), tmp_path / "out")
    path = tmp_path / "out" / "dataset.json"
    index = json.loads(path.read_text())
    index["shards"][0]["file"] = file
    path.write_text(json.dumps(index))
    with pytest.raises(TokenDatasetError, match=r"dataset.json: is damaged: shards.0.file"):
        l3ac_jax.open_tokens(tmp_path / "out")


# Audio.
def claimed_rate(path, rate):
    write_audio(path, np.zeros((1, 60_000), np.float32), 16000)
    data = path.read_bytes()
    path.write_bytes(data[:24] + struct.pack("<I", rate) + data[28:])
    return path


def test_audio_that_claims_1_hz_is_converted_in_small_pieces(tmp_path):
    """In one piece, these 120 kB are a block of 3.8 GB at 16 kHz."""
    with open_reader(claimed_rate(tmp_path / "a.wav", 1)) as reader:
        blocks = reader.blocks(16000)
        assert max(next(blocks).size for _ in range(3)) < 2**25  # soxr has buffers of its own


def test_audio_that_claims_2_ghz_is_refused_at_once(tmp_path):
    with (
        open_reader(claimed_rate(tmp_path / "a.wav", 2**31 - 1)) as reader,
        pytest.raises(AudioError, match=r"a\.wav: cannot be resampled at 2147483647 Hz"),
    ):
        next(reader.blocks(16000))
