"""How stable tokens are: what small changes of the audio, and coding again and again, do to them.

A language model learns tokens; where the same sound comes as other tokens, it has more to learn.
Each change is one that nobody hears, or that keeps what is heard. Distances are in levels of the
quantizer: neighbouring levels of one dimension are 1 apart, so that a token that is another one by
a step of one dimension of six has a distance of 1/6. Entries of another codec's codebook have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from l3ac_jax.audio.resampling import resample
from l3ac_jax.errors import SourceError
from l3ac_jax.evaluation.tokenizers import Audio, Tokenizer, Tokens
from l3ac_jax.metrics.speech import pesq_wb, stoi
from l3ac_jax.plots.figures import LINES, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Change", "Generation", "changes_of", "draw_stability", "generations", "stability"]

OTHER_RATE = 44100
NOISE_DB = -40.0  # of the clip's power
GAINS_DB = (-6.0, -1.0, 1.0, 6.0)
CUT_TOKENS = 37  # no divisor of a window


class Changed(NamedTuple):
    """Audio after a change, and how many tokens of the original are missing at its beginning."""

    audio: Audio
    dropped: int = 0


class Change(NamedTuple):
    """One change over all clips."""

    name: str
    equal: float
    """share of the tokens that are the same, 0 to 1"""
    distance: float
    """mean difference of levels, over tokens and dimensions; NaN where there are none"""
    tokens: int


class Generation(NamedTuple):
    """Clips that were coded so often, in a row."""

    number: int
    equal: float
    """share of the tokens that are those of the first generation"""
    distance: float
    pesq: float
    """of the original; NaN where there is none"""
    stoi: float


def changes_of(
    sample_rate: int, hop: int
) -> dict[str, Callable[[Audio, np.random.Generator], Changed]]:
    """What is done to a clip, by name. Shifts are of samples: the sound comes that much earlier."""

    def shifted(samples: int) -> Callable[[Audio, np.random.Generator], Changed]:
        return lambda audio, _: Changed(audio[samples:])

    def louder(decibels: float) -> Callable[[Audio, np.random.Generator], Changed]:
        return lambda audio, _: Changed(np.float32(10 ** (decibels / 20)) * audio)

    def noisy(audio: Audio, random: np.random.Generator) -> Changed:
        level = np.sqrt(np.mean(np.square(audio))) * 10 ** (NOISE_DB / 20)
        return Changed(audio + np.float32(level) * random.standard_normal(len(audio), np.float32))

    def resampled(audio: Audio, _: np.random.Generator) -> Changed:
        there = resample(audio[None], sample_rate, OTHER_RATE)
        return Changed(resample(there, OTHER_RATE, sample_rate, len(audio))[0])

    def quantized(audio: Audio, _: np.random.Generator) -> Changed:
        return Changed(np.round(audio * 32767).astype(np.float32) / np.float32(32767))

    shifts = dict.fromkeys(min(max(1, n), hop) for n in (1, hop // 8, hop // 4, hop // 2, hop - 1))
    return {
        "16 bits": quantized,
        **{f"shift of {n} sample{'s' if n > 1 else ''}": shifted(n) for n in shifts},
        f"cut off: {CUT_TOKENS} tokens": lambda audio, _: Changed(
            audio[CUT_TOKENS * hop :], CUT_TOKENS
        ),
        **{f"{gain:+g} dB": louder(gain) for gain in GAINS_DB},
        f"noise at {NOISE_DB:g} dB": noisy,
        f"to {OTHER_RATE / 1000:g} kHz and back": resampled,
    }


def stability(
    tokenizer: Tokenizer,
    clips: Sequence[Audio],
    seed: int = 0,
    elsewhere: Mapping[str, Sequence[Tokens]] | None = None,
) -> Iterator[Change]:
    """The changes one after the other, over all clips.

    `elsewhere` are tokens of the same clips that were computed otherwise, by a name of how; these
    come first. Raises SourceError where they are of other clips or levels.
    """
    expected = [tokenizer.tokens(clip) for clip in clips]
    for name, found in (elsewhere or {}).items():
        if [tokens.shape for tokens in found] != [tokens.shape for tokens in expected]:
            raise SourceError(f"{name}: these are tokens of other recordings or of another model")
        yield Change(name, *_compared(tokenizer, list(zip(expected, found, strict=True))))
    for name, change in changes_of(tokenizer.sample_rate, tokenizer.hop_length).items():
        random = np.random.default_rng(seed)
        pairs = []
        for clip, before in zip(clips, expected, strict=True):
            audio, dropped = change(clip, random)
            pairs.append((before[dropped:], tokenizer.tokens(audio)))
        yield Change(name, *_compared(tokenizer, pairs))


def generations(tokenizer: Tokenizer, clips: Sequence[Audio], count: int) -> Iterator[Generation]:
    """What coding what was decoded, again and again, comes to; the first is the usual coding."""
    first: list[Tokens] = []
    current = list(clips)
    rate = tokenizer.sample_rate
    for number in range(1, count + 1):
        tokens, decoded = zip(*(tokenizer.coded(clip) for clip in current), strict=True)
        first, current = first or list(tokens), list(decoded)
        equal, distance, _ = _compared(tokenizer, list(zip(first, tokens, strict=True)))
        pairs = list(zip(clips, current, strict=True))
        yield Generation(
            number,
            equal,
            distance,
            _mean([pesq_wb(*pair, rate) for pair in pairs]),
            _mean([stoi(*pair, rate) for pair in pairs]),
        )


def draw_stability(
    changes: dict[str, Sequence[Change]], coded: dict[str, Sequence[Generation]]
) -> Figure:
    """By codec: the share of equal tokens after each change, and PESQ by generation."""
    figure = new_figure(11.0, 5.6)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    names = list(dict.fromkeys(change.name for rows in changes.values() for change in rows))
    height = 0.8 / len(changes)
    for index, (codec, rows) in enumerate(changes.items()):
        places = [names.index(row.name) + (index - (len(changes) - 1) / 2) * height for row in rows]
        style: Any = {
            "color": LINES[index]["color"],
            "hatch": ("", "//", "..", "xx", "--", "oo")[index],
        }
        left.barh(
            places,
            [100 * row.equal for row in rows],
            height,
            label=codec,
            edgecolor="white",
            **style,
        )
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set(xlim=(0, 100), xlabel="tokens that stay the same (%)")
    for index, (codec, rows) in enumerate(coded.items()):
        style = LINES[index]
        right.plot([row.number for row in rows], [row.pesq for row in rows], label=codec, **style)
    right.set(xlabel="times coded", ylabel="PESQ-WB against the original (MOS)")
    right.xaxis.get_major_locator().set_params(integer=True)
    # One for both, beside no bar: hatches tell the bars apart, and lines their own styles.
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    right.legend()
    return figure


def _compared(
    tokenizer: Tokenizer, pairs: Sequence[tuple[Tokens, Tokens]]
) -> tuple[float, float, int]:
    """Share of equal tokens, mean distance of levels, and how many tokens both have."""
    equal, distance, count = 0, 0.0, 0
    for first, second in pairs:
        both = min(len(first), len(second))
        apart = np.abs(first[:both] - second[:both])
        equal += int((apart == 0).all(axis=1).sum())
        distance += float(apart.mean(axis=1).sum())
        count += both
    mean = distance / max(count, 1) if tokenizer.ordered else float("nan")
    return equal / max(count, 1), mean, count


def _mean(scores: Sequence[float]) -> float:
    finite = [score for score in scores if np.isfinite(score)]
    return float(np.mean(finite)) if finite else float("nan")
