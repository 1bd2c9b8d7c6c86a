"""Configuration files: what they say, how they build on each other, how mistakes are reported."""

import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l3ac_jax.config import (
    PUBLISHED,
    CodecConfig,
    ExperimentConfig,
    dump_config,
    load_config,
    published_config,
)
from l3ac_jax.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"

# Tokens per second, codebook size, bits per second and the window, as the paper's models have them.
PUBLISHED_FIGURES = {
    "0k75bps": (44.44, 7**6, 748.6, 200),
    "1kbps": (59.26, 7**6, 998.2, 250),
    "1k5bps": (88.89, 7**6, 1497.3, 300),
    "3kbps": (166.67, 9**3 * 7**3, 2988.6, 400),
}


@st.composite
def codec_tables(draw: st.DrawFn) -> dict:
    """Tables that are right by construction, far from the published ones."""
    sizes = st.integers(1, 9)
    rates = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))

    def stages(rates: list[int]) -> dict:
        count = len(rates) + 1
        lists = st.lists(sizes, min_size=count, max_size=count)
        return {"rates": rates, "dims": draw(lists), "depths": draw(lists)}

    odd = st.lists(sizes.map(lambda n: 2 * n - 1), min_size=1, max_size=5)
    return {
        "sample_rate": draw(st.integers(1, 192_000)),
        "feature_dim": 8 * draw(sizes),
        "use_norm": draw(st.booleans()),
        "activation": draw(st.sampled_from(["snake", "gelu"])),
        "encoder": stages(rates),
        "decoder": {
            **stages(draw(st.permutations(rates))),
            "last_layer": draw(st.sampled_from(["legacy", "dilation", "plain"])),
        },
        "tpooling": {
            "enabled": draw(st.booleans()),
            "absolute": draw(st.booleans()),
            "encoder_kernels": draw(odd),
            "decoder_kernels": draw(odd),
        },
        "transformer": {
            "encoder_depth": draw(st.integers(2, 5)),
            "decoder_depth": draw(st.integers(2, 5)),
            "window_size": draw(st.integers(1, 500)),
            "compress_rate": draw(st.integers(1, 4)),
            "position": draw(st.sampled_from(["dynamic_bias", "rotary"])),
            "attention": draw(st.sampled_from(["local", "full"])),
            "heads": draw(sizes),
            **draw(st.fixed_dictionaries({}, optional={"head_dim": sizes.map(lambda n: 2 * n)})),
        },
        "quantizer": {
            "levels": draw(st.lists(st.integers(2, 20), min_size=1, max_size=7)),
            "noise_rate": draw(st.floats(0, 1)),
        },
    }


def write(folder: Path, text: str, name: str = "experiment.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def based_on_3kbps(folder: Path, text: str = "") -> Path:
    return write(folder, f'base = "{CONFIGS / "3kbps.toml"}"\n{text}')


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_have_the_published_figures(name):
    config = published_config(name).model
    frame_rate, codebook_size, bitrate, window = PUBLISHED_FIGURES[name]
    assert config.frame_rate == pytest.approx(frame_rate, abs=0.005)
    assert config.bitrate == pytest.approx(bitrate, abs=0.05)
    assert config.codebook_size == codebook_size
    assert config.transformer.window_size == window
    assert config.window_seconds == pytest.approx(window / frame_rate, rel=1e-3)
    assert config.hop_length == config.encoder_hop * config.transformer.compress_rate


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_are_the_official_ones(name):
    l3ac = pytest.importorskip("l3ac")
    official = tomllib.loads((Path(l3ac.__file__).parent / f"configs/{name}.toml").read_text())
    network, model = official["network_config"], published_config(name).model
    assert model.sample_rate == official["sample_rate"]
    assert model.feature_dim == network["feature_dim"]
    assert model.encoder.rates == tuple(network["compress_rates"])
    assert model.encoder.dims == tuple(network["encoder_dims"])
    assert model.encoder.depths == tuple(network["encoder_depths"])
    assert model.decoder.rates == tuple(network["decode_rates"])
    assert model.decoder.dims == tuple(network["decoder_dims"])
    assert model.decoder.depths == tuple(network["decoder_depths"])
    assert model.decoder.last_layer == network["decoder_last_layer"]
    assert model.use_norm == network["use_norm"]
    assert (model.activation == "snake") == network["use_snake_act"]
    assert model.transformer.decoder_depth == network["en_coder_depth"]
    assert model.transformer.window_size == network["en_coder_window_size"]
    assert model.transformer.compress_rate == network["en_coder_compress_rate"]
    assert (model.transformer.position == "dynamic_bias") == network["en_coder_dynamic_pos"]
    assert model.quantizer.levels == tuple(network["vq_config"]["levels"])
    assert model.quantizer.noise_rate == network["vq_config"]["noise_rate"]


def test_every_config_file_says_how_to_run_it():
    for path in CONFIGS.rglob("*.toml"):
        assert "Command:" in path.read_text().split("[model]")[0], path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=codec_tables())
def test_a_config_survives_being_written_and_read(table, tmp_path):
    if math.prod(table["quantizer"]["levels"]) >= 2**31:
        return
    config = ExperimentConfig.model_validate({"model": table})
    read_back = load_config(write(tmp_path, dump_config(config)))
    assert read_back == config
    assert hash(read_back) == hash(config)


def test_base_tables_are_merged_key_by_key(tmp_path):
    write(tmp_path, based_on_3kbps(tmp_path).read_text(), "bases/first.toml")
    write(tmp_path, 'base = "first.toml"\nmodel.transformer.window_size = 7', "bases/second.toml")
    path = write(tmp_path, 'base = "bases/second.toml"\nmodel.encoder.depths = [2, 2, 2, 2]')
    config, original = load_config(path).model, published_config("3kbps").model
    assert config.transformer.window_size == 7
    assert config.encoder.depths == (2, 2, 2, 2)
    assert config.encoder.dims == original.encoder.dims
    assert config.decoder == original.decoder


def test_an_experiment_overrides_its_base_whatever_the_depth(tmp_path):
    write(tmp_path, based_on_3kbps(tmp_path).read_text() + "model.feature_dim = 32", "base.toml")
    path = write(tmp_path, 'base = "base.toml"\nmodel.feature_dim = 64', "child.toml")
    assert load_config(path).model.feature_dim == 64


def test_bases_that_go_round_in_circles_are_reported(tmp_path):
    write(tmp_path, 'base = "b.toml"', "a.toml")
    write(tmp_path, 'base = "a.toml"', "b.toml")
    with pytest.raises(ConfigError, match=r"a\.toml: base: .*a\.toml -> .*b\.toml -> .*a\.toml"):
        load_config(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["--model.transformer.window-size", "50"], lambda m: m.transformer.window_size == 50),
        (["--model.transformer.window_size=50"], lambda m: m.transformer.window_size == 50),
        (["--model.activation", "gelu"], lambda m: m.activation == "gelu"),
        (["--model.activation", '"gelu"'], lambda m: m.activation == "gelu"),
        (["--model.use-norm=false"], lambda m: m.use_norm is False),
        (["--model.quantizer.levels", "[5, 5]"], lambda m: m.quantizer.levels == (5, 5)),
        (["--model.quantizer", "{levels = [3], noise_rate = 0}"], lambda m: m.codebook_size == 3),
        (
            ["--model.feature-dim", "64", "--model.feature-dim=32"],
            lambda m: m.feature_dim == 32,
        ),
    ],
)
def test_command_line_overrides(words, read):
    assert read(load_config(CONFIGS / "3kbps.toml", words).model)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.feature-dim", "64"], "'model.feature-dim' is not of the form --section.key value"),
        (["--model..feature-dim", "64"], "is not of the form --section.key value"),
        (["--model.feature-dim"], "model.feature_dim: a value is missing"),
        (["--model.feature-dim", "--model.use-norm"], "model.feature_dim: a value is missing"),
        (["--model.featur-dim", "64"], "model.featur_dim: unknown key; did you mean feature_dim?"),
        (["--model.feature-dim", "wide"], "model.feature_dim: input should be a valid integer"),
        (["--model.feature-dim", "1\nx = 2"], "model.feature_dim: input should be a valid integer"),
        (["--model.feature-dim.x", "1"], "model.feature_dim: input should be a valid integer"),
        (["--model.encoder", "5"], "model.encoder: should be a table, got 5"),
    ],
)
def test_bad_overrides_name_the_command_line_and_the_key(words, message):
    with pytest.raises(ConfigError) as error:
        load_config(CONFIGS / "3kbps.toml", words)
    assert str(error.value).startswith("the command line: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.transformer.windw_size = 5", "windw_size: unknown key; did you mean window_size?"),
        ("[speed]", "speed: unknown key; known here: model, data, training"),
        ("model.sample_rate = '16000'", "model.sample_rate: input should be a valid integer"),
        ("model.sample_rate = 0", "model.sample_rate: input should be greater than 0, got 0"),
        ("model.use_norm = 1", "model.use_norm: input should be a valid boolean, got 1"),
        ("model.activation = 'relu'", "model.activation: input should be 'snake' or 'gelu'"),
        ("model.encoder.rates = [6, 4]", "model.encoder.dims: has 4 values, but 2 rates need 3"),
        ("model.decoder.depths = [1]", "model.decoder.depths: has 1 values, but 4 rates need 5"),
        ("model.encoder.rates = [6, 4, 3]", "model.decoder.rates: multiply to 96, encoder.rates"),
        ("model.encoder.rates = [6, 4, -4]", "model.encoder.rates.2: input should be greater"),
        ("model.feature_dim = 30", "model.feature_dim: must be a multiple of 4"),
        ("model.feature_dim = 4\nmodel.transformer.position = 'rotary'", "must be a multiple of 8"),
        (
            "model.transformer.head_dim = 5\nmodel.transformer.position = 'rotary'",
            "transformer.head_dim be given and even",
        ),
        ("model.transformer.heads = 0", "model.transformer.heads: input should be greater"),
        ("model.tpooling.encoder_kernels = [2]", "model.tpooling.encoder_kernels: must be odd"),
        ("model.tpooling.decoder_kernels = []", "model.tpooling.decoder_kernels: "),
        ("model.quantizer.levels = [1, 7]", "model.quantizer.levels.0: input should be greater"),
        ("model.quantizer.levels = [1]", "model.quantizer.levels.0: input should be greater"),
        (
            "model.quantizer.levels = [50000, 50000]",
            "model.quantizer.levels: must multiply to less",
        ),
        ("model.quantizer.noise_rate = 1.5", "model.quantizer.noise_rate: input should be less"),
        (
            "[model.transformer]\nencoder_depth = 2\ndecoder_depth = 1\ncompress_rate = 2",
            "model.transformer.decoder_depth: must be at least 2",
        ),
        ("model = 3", "model: should be a table, got 3"),
        ("model = ", "is not valid TOML"),
    ],
)
def test_bad_files_are_reported_with_file_and_key(text, message, tmp_path):
    path = based_on_3kbps(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_mistake_in_a_base_is_reported_with_the_base_file(tmp_path):
    based_on_3kbps(tmp_path, "model.featur_dim = 5").rename(tmp_path / "base.toml")
    path = write(tmp_path, 'base = "base.toml"', "child.toml")
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{tmp_path / 'base.toml'}: model.featur_dim")


def test_all_mistakes_are_reported_together(tmp_path):
    path = write(tmp_path, "[model]\nsample_rate = 0\nuse_nrm = true")
    with pytest.raises(ConfigError) as error:
        load_config(path)
    lines = str(error.value).splitlines()
    assert f"{path}: model.use_nrm: unknown key; did you mean use_norm?" in lines
    assert f"{path}: model.sample_rate: input should be greater than 0, got 0" in lines
    for missing in ("encoder", "decoder", "transformer", "quantizer"):
        assert f"{path}: model.{missing}: missing" in lines


@pytest.mark.parametrize("base", ["3", '""', '"nowhere.toml"'])
def test_a_bad_base_is_reported_with_the_file_that_names_it(base, tmp_path):
    path = write(tmp_path, f"base = {base}")
    with pytest.raises(ConfigError, match=r"experiment\.toml") as error:
        load_config(path)
    assert "base" in str(error.value)


def test_files_that_cannot_be_read_are_reported(tmp_path):
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            load_config(path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_config(binary)


def test_published_config_names_what_there_is():
    with pytest.raises(ConfigError, match="'2kbps' is not a published model: there are 0k75bps"):
        published_config("2kbps")


def test_configs_cannot_be_changed_after_they_are_checked():
    config: CodecConfig = published_config("3kbps").model
    with pytest.raises(ValueError, match="frozen"):
        config.feature_dim = 5  # pyright: ignore


DATA = """
[data]
seconds = 2.0
[[data.corpora]]
corpus = "folder"
path = "{path}"
"""


def test_paths_of_corpora_are_seen_from_the_file_that_names_them(tmp_path):
    model = (CONFIGS / "3kbps.toml").read_text().split("[data]")[0].replace("base =", "# base =")
    write(tmp_path / "a", model + DATA.format(path="../corpora/mine"), "base.toml")
    path = write(tmp_path / "b", 'base = "../a/base.toml"\n[data]\nseconds = 3.0\n')
    data = load_config(path).data
    assert data.seconds == 3.0
    assert data.corpora[0].path == str(tmp_path / "corpora" / "mine")
    assert load_config(write(tmp_path, dump_config(load_config(path)), "again.toml")).data == data


@pytest.mark.parametrize("path", ["$L3AC_DATA/mine", "~/mine", "/data/mine"])
def test_other_paths_stay_as_they_are(tmp_path, path):
    model = (CONFIGS / "3kbps.toml").read_text().split("[data]")[0].replace("base =", "# base =")
    config = load_config(write(tmp_path, model + DATA.format(path=path)))
    assert config.data.corpora[0].path == path


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_name_their_data(name):
    data = published_config(name).data
    seconds = {"0k75bps": 7.5, "1kbps": 6.8, "1k5bps": 6.75, "3kbps": 7.2}
    assert (data.seconds, data.batch_size, data.clips_per_epoch) == (seconds[name], 24, 90_000)
    assert [corpus.path for corpus in data.corpora] == [
        f"$L3AC_DATA/{corpus}"
        for corpus in ("librispeech", "common-voice", "mtg-jamendo", "fsd50k")
    ]
    assert len({corpus.weight for corpus in data.corpora}) == 1
    assert data.steps_per_epoch == 3750


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_are_the_authors(name):
    training = published_config(name).training
    every = {"0k75bps": 25, "1kbps": 22, "1k5bps": 20, "3kbps": 15}
    assert (training.epochs, training.discriminator.every) == (70, every[name])
    loss, optimizer, judges = training.loss, training.optimizer, training.discriminator
    assert (loss.waveform, loss.stft, loss.mel, loss.perceptual) == (100, 1, 0, 1)
    assert (loss.perceptual_maximum, loss.adversarial_maximum) == (5, 10)
    assert (loss.adversarial, loss.feature_matching) == (1, 2)
    assert (optimizer.initial_rate, optimizer.peak_rate) == (5e-5, 5e-4)
    assert (optimizer.final_rate, optimizer.warmup) == (5e-6, 0.4)
    assert (optimizer.weight_decay, judges.optimizer.weight_decay) == (0, 1e-5)
    assert (optimizer.clip_norm, judges.optimizer.clip_norm) == (1e4, 10)
    assert (judges.periods, judges.fft_sizes) == ((2, 3, 5, 7, 11), (126, 542, 1418, 2296))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('seconds = "2"', "data.seconds: input should be a valid number"),
        ("gain_db = [3.0, -3.0]", r"data.gain_db: must be \[low, high\], got \[3.0, -3.0\]"),
        ("speed = [0.0, 1.0]", "data.speed.0: input should be greater than 0"),
        ("speed = [1.1, 0.9]", r"data.speed: must be \[low, high\], got \[1.1, 0.9\]"),
        ("batch_size = 24\nclips_per_epoch = 20", "data.clips_per_epoch: must be at least batch_s"),
        ("batchsize = 3", "data.batchsize: unknown key; did you mean batch_size?"),
    ],
)
def test_mistakes_in_the_data_table_are_named(tmp_path, change, message):
    lines = DATA.format(path="x").replace("seconds = 2.0", change)
    path = write(tmp_path, f'base = "{CONFIGS / "3kbps.toml"}"\n{lines}')
    with pytest.raises(ConfigError, match=f"experiment.toml: {message}"):
        load_config(path)


def test_mistakes_in_a_list_of_corpora_are_named(tmp_path):
    lines = DATA.format(path="x") + 'wieght = 2.0\n[[data.corpora]]\ncorpus = "libri"\n'
    path = write(tmp_path, f'base = "{CONFIGS / "3kbps.toml"}"\n{lines}')
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert [line.removeprefix(f"{path}: ") for line in str(error.value).splitlines()] == [
        "data.corpora.0.wieght: unknown key; did you mean weight?",
        "data.corpora.1.corpus: input should be 'librispeech', 'common-voice', 'mtg-jamendo', "
        "'fsd50k' or 'folder', got 'libri'",
        "data.corpora.1.path: missing",
    ]


STAGES = """
[training.loss]
waveform = 7.0
[[training.stages]]
epochs = 3
[training.stages.loss]
mel = 2.0
[[training.stages]]
epochs = 4
[training.stages.optimizer]
peak_rate = 1e-3
[[training.stages.optimizer.layers]]
layer = "decoder"
factor = 0.5
[training.stages.data]
batch_size = 9
[[training.stages.data.corpora]]
corpus = "folder"
path = "mine"
"""


def write_stages(tmp_path, change=("", "")):
    return write(tmp_path, f'base = "{CONFIGS / "3kbps.toml"}"\n{STAGES.replace(*change)}')


def test_a_stage_says_what_changes_from_the_one_before(tmp_path):
    config = load_config(write_stages(tmp_path))
    first, second, third = config.stages
    published = published_config("3kbps")
    assert [stage.training.epochs for stage in config.stages] == [70, 3, 4]
    assert [stage.training.stages for stage in config.stages] == [(), (), ()]
    losses = [(stage.training.loss.waveform, stage.training.loss.mel) for stage in config.stages]
    assert losses == [(7.0, 0.0), (7.0, 2.0), (7.0, 2.0)]
    assert first.training.optimizer == second.training.optimizer == published.training.optimizer
    assert third.training.optimizer.peak_rate == 1e-3
    assert third.training.optimizer.initial_rate == published.training.optimizer.initial_rate
    assert [rate.layer for rate in third.training.optimizer.layers] == ["decoder"]
    assert [(stage.begin, stage.end) for stage in config.stages] == [
        (0, 70 * 3750),
        (70 * 3750, 73 * 3750),
        (73 * 3750, 73 * 3750 + 4 * 10_000),
    ]
    assert second.data.corpora == published.data.corpora and second.data.evaluation is None
    assert [corpus.path for corpus in third.data.corpora] == [str(tmp_path / "mine")]
    # The cheap terms of all, and its own; here the published ones need Whisper and discriminators.
    assert {stage.terms for stage in config.stages} == {
        frozenset({"waveform", "stft", "mel", "perceptual", "adversarial"})
    }
    again = load_config(write(tmp_path, dump_config(config), "again.toml"))
    assert again == config and again.stages == config.stages


def test_costly_terms_belong_to_their_stage(tmp_path):
    text = "[training.loss]\nadversarial = 0.0\nperceptual = 0.0"
    path = write_stages(tmp_path, ("[training.loss]", text))
    path.write_text(path.read_text().replace("mel = 2.0", "mel = 2.0\nadversarial = 1.0"))
    first, second, _ = load_config(path).stages
    assert first.terms == {"waveform", "stft", "mel"}
    assert second.terms == {"waveform", "stft", "mel", "adversarial"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("mel = 2.0", "mle = 2.0"), "training.stages.0.loss.mle: unknown key; did you mean mel?"),
        (("mel = 2.0", "mel = -2.0"), "training.stages.0.loss.mel: input should be greater than"),
        (("waveform = 7.0", "waveform = -7.0"), "training.loss.waveform: input should be greater"),
        (("epochs = 3", "epochs = 0"), "training.stages.0.epochs: input should be greater than 0"),
        (("epochs = 3", ""), "training.stages.0.epochs: missing"),
        (
            ("batch_size = 9", "batch_size = 90_001"),
            "training.stages.1.data.clips_per_epoch: must be at least batch_size, 90001",
        ),
        (
            ("peak_rate = 1e-3", 'method = "muon"'),
            "training.stages: have optimizers of another method than that of the first stage",
        ),
        (("[training.stages.data]", "[training.stages.evaluation]"), "training.stages.1.eval"),
    ],
)
def test_a_mistake_in_a_stage_is_named_once(tmp_path, change, message):
    with pytest.raises(ConfigError) as error:
        load_config(write_stages(tmp_path, change))
    (first, *others) = str(error.value).splitlines()
    assert message in first and not any(message.partition(":")[0] in line for line in others)
