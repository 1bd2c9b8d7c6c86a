"""Captions by a model with random weights: what transformers itself says, and how texts compare."""

import json

import numpy as np
import pytest

from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import ScoreError
from l3ac_jax.metrics.captions import caption, overlap

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

RATE = 16000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Whisper of one small layer, which knows letters."""
    folder = tmp_path_factory.mktemp("captioner")
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    letters = [*"abcdefghijklmnopqrstuvwxyz>:", "Ġ"]
    vocabulary = {token: index for index, token in enumerate([*letters, *special])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.WhisperTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt")
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=80)
    transformers.WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    end, start = (len(letters) + index for index in (0, 1))
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        init_std=1.0,  # so that sounds matter
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


def noise(seed, rate=RATE):
    return np.random.default_rng(seed).normal(0, 0.1, rate).astype(np.float32)


def greedy(model, audio, prompt):
    """The same without `generate`: the likeliest token, again and again."""
    network = transformers.WhisperForConditionalGeneration.from_pretrained(model).eval()
    processor = transformers.WhisperProcessor.from_pretrained(model)
    features = processor(audio, sampling_rate=RATE, return_tensors="pt").input_features
    tokens = [network.config.decoder_start_token_id]
    tokens += processor.tokenizer(prompt, add_special_tokens=False).input_ids
    said = []
    with torch.inference_mode():
        while len(said) < 100:
            scores = network(features, decoder_input_ids=torch.tensor([tokens + said])).logits
            said.append(int(scores[0, -1].argmax()))
            if said[-1] == network.config.eos_token_id:
                break
    return processor.tokenizer.decode(said, skip_special_tokens=True).strip()


@pytest.mark.parametrize("prompt", ["", "clotho > caption: "])
def test_a_caption_is_what_the_model_thinks_likeliest(model, prompt):
    said = caption(noise(0), RATE, model, prompt)
    assert said and said == greedy(model, noise(0), prompt)


def test_other_rates_are_resampled(model):
    audio = noise(1, 48000)
    at_rate = resample(audio[None], 48000, RATE)[0]
    assert caption(audio, 48000, model) == caption(at_rate, RATE, model)
    assert caption(audio, 48000, model) != caption(audio, RATE, model)


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ScoreError, match=r"model .*none cannot be loaded: "):
        caption(noise(0), RATE, str(tmp_path / "none"))


def test_words_that_two_texts_share():
    assert overlap("A dog barks.", "a dog barks") == 1
    # "a" and "dog" of three and of five words.
    assert overlap("a dog barks", "a cat and a dog") == pytest.approx(4 / 8)
    assert overlap("a dog", "") == 0
    assert np.isnan(overlap("", " ."))
