"""Captions: what a model of `transformers` says of a recording, and how alike two captions are.

A model is one of the Whisper family that was trained to describe sounds, by name or folder; no
package ships one. Code of a model's own is never run.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import ScoreError
from l3ac_jax.system.packages import needs_extra

__all__ = ["caption", "overlap", "require"]

Audio = Float[np.ndarray, " time"]

MOST_TOKENS = 100  # of a caption; those of Clotho and AudioCaps are of about 15


def require() -> None:
    """Raise MissingPackageError if transformers or PyTorch is missing."""
    with needs_extra("references", "captions"):
        import torch  # noqa: F401
        import transformers  # noqa: F401


def caption(audio: Audio, sample_rate: int, model: str, prompt: str = "") -> str:
    """What the model says of a recording, greedily; of one longer than 30 s, of its beginning.

    `prompt` is what the model's decoder is given as the beginning of its text, if it was trained
    with one ("clotho > caption: "). Raises ScoreError for a model that cannot be loaded.
    """
    import torch

    processor, network = _captioner(model)
    rate = processor.feature_extractor.sampling_rate
    heard = resample(audio[None], sample_rate, rate)[0]
    features = processor(heard, sampling_rate=rate, return_tensors="pt").input_features
    begin = [network.config.decoder_start_token_id]
    begin += processor.tokenizer(prompt, add_special_tokens=False).input_ids
    with torch.inference_mode():
        tokens = network.generate(
            features,
            decoder_input_ids=torch.tensor([begin]),
            max_new_tokens=MOST_TOKENS,
            do_sample=False,
            num_beams=1,
        )[0].tolist()
    said = tokens[len(begin) :] if tokens[: len(begin)] == begin else tokens
    return processor.tokenizer.decode(said, skip_special_tokens=True).strip()


def overlap(truth: str, said: str) -> float:
    """ROUGE-1: the F-measure of the words that two texts share, 0 to 1; NaN without words."""
    first, second = (Counter(re.findall(r"[\w']+", text.lower())) for text in (truth, said))
    words = first.total() + second.total()
    return 2 * (first & second).total() / words if words else np.nan


@lru_cache(maxsize=1)
def _captioner(model: str) -> tuple[Any, Any]:
    from transformers import AutoProcessor, WhisperForConditionalGeneration

    try:
        network = WhisperForConditionalGeneration.from_pretrained(model)
        network.generation_config.max_length = None  # which would be said to be overruled
        return AutoProcessor.from_pretrained(model), network.eval()
    # Whatever the package raises: a model that is not there, a folder of another kind.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ScoreError(f"the captions' model {model} cannot be loaded: {reason}") from error
