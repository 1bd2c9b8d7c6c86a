"""What changes when the input is changed: structural receptive fields, put to the test.

What lies outside of a field is replaced, and nothing may change, to the last bit. The outermost
samples inside are changed one by one, and something should.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from l3ac_jax.evaluation.influence import DecodedSample, Influence, Probe
from l3ac_jax.evaluation.receptive_field import sample_field, token_field

__all__ = ["Change", "Measured", "measure"]

Audio = Float[np.ndarray, " time"]

# Louder than any audio, so that it wins in every window of the max pooling.
SPIKE = 10.0


class Change(NamedTuple):
    """One change of the input, and the largest difference that it made.

    Where the structure allows one, it can still be too small for float32.
    """

    what: str
    allowed: bool
    largest: float

    @property
    def as_structured(self) -> bool:
        return self.allowed or self.largest == 0


class Measured(NamedTuple):
    """What `measure` finds: influences on z_q[token] and on y[sample], and changes."""

    token: Influence
    sample: Influence
    sample_held: Influence
    """the same with the statistics of the decoder's norms held"""
    changes: list[Change]


def measure(probe: Probe, audio: Audio, token: int, sample: int, seed: int) -> Measured:
    """Derivatives and changes for one clip; replacements are drawn from `seed`."""
    features, quantized = probe.encode(audio)
    decoded = probe.decode(quantized, sample)
    held = probe.decode(quantized, sample, decoded.statistics)
    directions = probe.token_directions(token, len(quantized))
    derivatives = probe.pull_back(
        audio, np.concatenate([directions, decoded.gradient[None], held.gradient[None]])
    )
    squares = np.square(derivatives, dtype=np.float64)
    config = probe.config
    random = np.random.default_rng(seed)
    return Measured(
        Influence(squares[:-2].sum(axis=0), token_field(config, token)),
        Influence(squares[-2], sample_field(config, sample)),
        Influence(squares[-1], sample_field(config, sample, local=True)),
        _token_changes(probe, audio, features, token, random)
        + _sample_changes(probe, audio, quantized, sample, decoded, held, random),
    )


def _token_changes(
    probe: Probe, audio: Audio, features: np.ndarray, token: int, random: np.random.Generator
) -> list[Change]:
    """Seen before the quantizer, which would hide small changes."""

    def change(what: str, allowed: bool, changed: Audio) -> Change:
        difference = probe.encode(changed)[0][token] - features[token]
        return Change(what, allowed, float(np.abs(difference).max()))

    inside = token_field(probe.config, token).inside(len(audio))
    name = f"token {token}'s features"
    found = [
        change(f"{name}: sample {where:,}, its {word}", True, _spike(audio, where))
        for word, where in (("first", inside.start), ("last", inside.stop - 1))
    ]
    if (inside.start, inside.stop) != (0, len(audio)):
        replaced = _replaced(audio, inside, random)
        found.append(change(f"{name}: all outside of its field", False, replaced))
    return found


def _sample_changes(
    probe: Probe,
    audio: Audio,
    quantized: np.ndarray,
    sample: int,
    decoded: DecodedSample,
    held: DecodedSample,
    random: np.random.Generator,
) -> list[Change]:
    name = f"sample {sample:,}"
    farthest = 0 if sample >= len(audio) / 2 else len(audio) - 1
    far = probe.encode(_spike(audio, farthest))[1]
    found = [
        Change(
            f"{name}: input sample {farthest:,}, the farthest",
            True,
            abs(probe.decode(far, sample).value - decoded.value),
        )
    ]
    inside = sample_field(probe.config, sample, local=True).inside(len(audio))
    if (inside.start, inside.stop) != (0, len(audio)):
        others = probe.encode(_replaced(audio, inside, random))[1]
        value = probe.decode(others, sample, decoded.statistics).value
        what = f"{name}, held: all outside of its field"
        found.append(Change(what, False, abs(value - held.value)))
    return found


def _spike(audio: Audio, where: int) -> Audio:
    changed = audio.copy()
    changed[where] = SPIKE
    return changed


def _replaced(audio: Audio, inside: slice, random: np.random.Generator) -> Audio:
    changed = random.uniform(-1, 1, len(audio)).astype(np.float32)
    changed[inside] = audio[inside]
    return changed
