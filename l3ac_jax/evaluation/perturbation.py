"""What changes when the input is changed: structural receptive fields, put to the test.

What lies outside of a field is replaced, and nothing may change, to the last bit. The outermost
samples inside are changed one by one, and something should. Of a causal configuration all is
replaced, too, that lies beyond the look-ahead that it declares, whatever its structure says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from l3ac_jax.evaluation.influence import DecodedSample, Influence, Probe
from l3ac_jax.evaluation.receptive_field import (
    declared_last,
    sample_field,
    token_field,
)
from l3ac_jax.model.reach import Span

__all__ = ["Change", "Measured", "measure"]

Audio = Float[np.ndarray, " time"]

# Louder than any audio, so that it wins in every window of the max pooling.
SPIKE = 10.0
BEYOND = "all beyond the declared look-ahead"


class Change(NamedTuple):
    """One change of the input, and the largest difference that it made.

    Where the structure allows one, it can still be too small for float32.
    """

    what: str
    allowed: bool
    largest: float

    @property
    def as_structured(self) -> bool:
        """Whether nothing changed that the structure does not allow to change."""
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

    field = token_field(probe.config, token)
    inside = field.inside(len(audio))
    name = f"token {token}'s features"
    found = [
        change(f"{name}: sample {where:,}, its {word}", True, _spike(audio, where))
        for word, where in (("first", inside.start), ("last", inside.stop - 1))
    ]
    if (inside.start, inside.stop) != (0, len(audio)):
        replaced = _replaced(audio, inside, random)
        found.append(change(f"{name}: all outside of its field", False, replaced))
    declared = _declared(probe, field.own, audio)
    if declared is not None:
        found.append(change(f"{name}: {BEYOND}", False, _replaced(audio, declared, random)))
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
    field = sample_field(probe.config, sample)
    ends = field.inside(len(audio))
    farthest = max(ends.start, ends.stop - 1, key=lambda end: abs(end - sample))
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
    declared = _declared(probe, field.own, audio)
    if declared is not None:  # nothing held: as it is decoded
        others = probe.encode(_replaced(audio, declared, random))[1]
        difference = abs(probe.decode(others, sample).value - decoded.value)
        found.append(Change(f"{name}: {BEYOND}", False, difference))
    return found


def _declared(probe: Probe, own: Span, audio: Audio) -> slice | None:
    """What a causal configuration lets matter, where the clip goes on after it."""
    last = declared_last(probe.config, own)
    return slice(0, int(last) + 1) if last < len(audio) - 1 else None


def _spike(audio: Audio, where: int) -> Audio:
    changed = audio.copy()
    changed[where] = SPIKE
    return changed


def _replaced(audio: Audio, inside: slice, random: np.random.Generator) -> Audio:
    changed = random.uniform(-1, 1, len(audio)).astype(np.float32)
    changed[inside] = audio[inside]
    return changed
