"""Operations by formula are those that PyTorch counts in the official code, and XLA's in ours."""

import math

import numpy as np
import pytest

from l3ac_jax.config import published_config
from l3ac_jax.errors import ConfigError, ModelNotFoundError
from l3ac_jax.evaluation.complexity import (
    PARTS,
    WHY_PUBLISHED_IS_LOWER,
    complexity_of,
    parameters,
    products,
    products_by_part,
    resolve_config,
)
from l3ac_jax.evaluation.published import published_gmac_per_second
from tests.small_configs import SMALL_CONFIGS

# What the official code computes beside the products that are needed, by the operator's name.
ATTENTION, POSITION_BIAS = "aten.bmm", "aten.addmm"
CLASSES = (
    ("encoder", ("Encoder",)),
    ("encoder_transformer", ("LocalEncoder", "CompressedLocalEncoderWithCache")),
    ("quantizer", ("VQEmbed",)),
    ("decoder_transformer", ("LocalDecoder", "CompressedLocalDecoderWithCache")),
    ("decoder", ("Decoder",)),
)


def counted_by_pytorch(config, seconds) -> dict[str, dict[str, int]]:
    """Multiply-accumulates in the official code, by part and operator; nothing is computed."""
    from torch.utils.flop_counter import FlopCounterMode

    from l3ac_jax.oracle.codec import OfficialCodec, import_official

    torch, _ = import_official()
    codec = OfficialCodec(config)
    codec.network.to("meta")
    audio = torch.zeros(1, round(seconds * config.sample_rate), device="meta")
    with torch.no_grad(), FlopCounterMode(display=False, depth=2) as counter:
        features = codec.differentiable_encode(audio)
        quantized, _, _ = codec.network.quantizer(features)
        codec.differentiable_decode(quantized)
    counts = counter.get_flop_counts()
    return {
        part: {
            str(operator): flops // 2
            for name in names
            for operator, flops in counts.get(name, {}).items()
        }
        for part, names in CLASSES
    }


def attention_of_whole_windows(config, seconds) -> dict[str, int]:
    """All keys of two windows for every query, as the official code computes attention."""
    options = config.transformer
    width = options.heads * config.head_dim
    tokens = math.ceil(seconds * config.sample_rate / config.hop_length)
    rate, window = options.compress_rate, options.window_size

    def of(layers, frames, window):
        return layers * math.ceil(frames / window) * window * 2 * window * 2 * width

    if rate == 1:
        return {
            "encoder_transformer": of(options.encoder_depth, tokens, window),
            "decoder_transformer": of(options.decoder_depth, tokens, window),
        }
    before = options.encoder_depth // 2
    long = tokens * rate, window * rate
    return {
        "encoder_transformer": of(before, *long)
        + of(options.encoder_depth - before, tokens, window),
        "decoder_transformer": of(2, *long) + of(options.decoder_depth - 2, tokens, window),
    }


def check_with_pytorch(config, seconds):
    ours, theirs = products(config, seconds), counted_by_pytorch(config, seconds)
    for part, whole in attention_of_whole_windows(config, seconds).items():
        assert theirs[part].pop(ATTENTION) == whole
        theirs[part].pop(POSITION_BIAS, 0)
        needed = sum(
            ours.pop(name) for name in [*ours] if f"{part}/" in name and "attention" in name
        )
        assert 0 < needed < whole
    for part in PARTS:
        mine = sum(count for name, count in ours.items() if name.startswith(f"{part}/"))
        assert mine == sum(theirs[part].values()), part


@pytest.mark.parametrize(
    "name",
    ["baseline", "rotary", "last_plain", "compress3", "identity_projection", "deep",
     "three_stages"],
)  # fmt: skip
def test_products_are_those_that_pytorch_counts_but_for_attention(name):
    config = SMALL_CONFIGS[name]
    check_with_pytorch(config, 1001 / config.sample_rate)  # not a whole number of windows


def test_products_of_10_s_are_those_of_the_official_model():
    config = published_config("3kbps").model
    check_with_pytorch(config, 10)
    # The design's figure of PyTorch's counter, which is 0.5 % above what it gives here.
    theirs = sum(sum(part.values()) for part in counted_by_pytorch(config, 10).values()) / 1e9
    assert theirs == pytest.approx(37.8, rel=6e-3)
    # Without what the causal mask hides.
    needed = sum(products_by_part(config, 10).values()) / 1e9
    assert 0.93 * theirs < needed < 0.98 * theirs


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 16, 21])
def test_attention_is_counted_for_the_keys_that_a_query_sees(frames):
    config = SMALL_CONFIGS["baseline"]
    window, width = 8, 6 * 4
    query, key = np.mgrid[:frames, :frames]
    seen = (key <= query) & (key // window >= query // window - 1)
    counted = products(config, frames * config.hop_length / config.sample_rate)
    layer = "decoder_transformer/transformer/layer_1"
    assert counted[f"{layer}/attention"] == 2 * width * seen.sum()
    assert counted[f"{layer}/qkv"] == frames * 16 * 3 * width


def test_full_attention_sees_all_frames_before():
    config = SMALL_CONFIGS["baseline"]
    full = config.transformer.model_copy(update={"attention": "full"})
    config = config.model_copy(update={"transformer": full})
    counted = products(config, 100 * config.hop_length / config.sample_rate)
    name = "encoder_transformer/transformer/layer_0/attention"
    assert counted[name] == 2 * 6 * 4 * 100 * 101 / 2


def test_parameters_are_those_of_the_published_models():
    counts = parameters(published_config("3kbps").model)
    assert tuple(counts) == PARTS
    assert sum(counts.values()) == pytest.approx(10.307e6, abs=500)  # as published, in thousands


def test_xla_counts_a_little_more_than_the_products():
    found = complexity_of(published_config("3kbps").model)
    # Norms, activations and hidden keys; a loop counted once would come far below.
    for part in PARTS:
        assert found.formula[part] < found.xla[part] < 1.2 * found.formula[part], part
    assert sum(found.xla.values()) == pytest.approx(3.84e9, rel=0.02)


def test_published_complexity_is_twenty_times_too_low():
    for name, needed in (("0k75bps", 0.155), ("1kbps", 0.203), ("1k5bps", 0.237), ("3kbps", 0.164)):
        assert published_gmac_per_second(name) == pytest.approx(needed)
    ratio = sum(products_by_part(published_config("3kbps").model, 10).values()) / 1.64e9
    assert 18 < ratio < 24
    assert "weight-normed" in WHY_PUBLISHED_IS_LOWER
    assert published_gmac_per_second("smoke") is None


def test_configurations_come_from_names_files_and_folders(model_folder, tmp_path):
    published = published_config("1kbps").model
    assert resolve_config("1kbps") == published
    assert resolve_config(model_folder) == SMALL_CONFIGS["baseline"]
    assert resolve_config(model_folder / "config.toml") == SMALL_CONFIGS["baseline"]
    with pytest.raises(ModelNotFoundError, match="4kbps: is neither a model"):
        resolve_config("4kbps")
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        resolve_config(tmp_path / "missing.toml")
