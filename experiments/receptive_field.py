r"""What a token and a sample of decoded audio depend on: receptive field, look-ahead, influence.

    python experiments/receptive_field.py 3kbps --figure field.png
    python experiments/receptive_field.py configs/3kbps.toml --figure field.png
    python experiments/receptive_field.py runs/1kbps --token 30 --sample 8000 --audio speech.wav

MODEL is a name, a model folder or file, or a training run; of a configuration file (.toml) the
network gets random parameters, each off its initial value, that belong to --seed.

Printed are the structural receptive field, which follows from the configuration alone; the samples
with a derivative other than zero, of z_q[n] (features of token frame n, rounding taken as straight
through) and of y[t] (decoded sample t); how far back and ahead shares of the influence lie, which
is the squared derivative; and what changing the input changed. Of y[t] once more with the
statistics of the decoder's norms held at this clip's values: what does not go through them.

Of a causal configuration it is also put to the proof that nothing beyond the look-ahead that it
declares (model.look_ahead_ms) matters: by structure, by derivatives, and by replacing all of it.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from l3ac_jax.cli.run import FAILED, run_command
from l3ac_jax.config import CodecConfig, load_config
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from l3ac_jax.evaluation.influence import Influence
    from l3ac_jax.evaluation.perturbation import Measured

PROGRAM = "receptive_field.py"
SHARES = (0.5, 0.9, 0.99, 0.999)
EFFECTIVE = 0.99
NEIGHBOURHOOD = (2000, 1600)  # samples before and after
# Seconds of the recording. The norms amplify what is quiet: the silence in front of the sentence
# would count for more than the sentence.
SENTENCE = (0.42, 3.4)


@dataclass(frozen=True)
class Options:
    """What to look at."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Name, model folder or file, training run, or configuration file."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw derivatives and influence by distance; .png, .pdf or .svg."""
    audio: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """What to feed in, repeated or cut to --samples; by default a sentence of speech."""
    samples: int = 81920
    """Length of the input."""
    token: int = 103
    """The token frame n."""
    sample: int = 10000
    """The decoded sample t."""
    seed: int = 0
    """Of random parameters, and of what input is replaced by."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing figure."""


def run(options: Options) -> int:
    """Measures, prints and draws; 1 where something is not as the structure says."""
    from l3ac_jax.plots.figures import check_figure, save_figure

    if options.figure is not None:
        check_figure(options.figure, options.overwrite)
    if options.seed < 0:
        raise ArgumentError(f"--seed: must be 0 or more, got {options.seed}")
    config, params, weights = _model(options.model, options.seed)
    _check_positions(options, config)
    audio = _audio(options, config.sample_rate)

    from l3ac_jax.evaluation.influence import Probe
    from l3ac_jax.evaluation.influence_figure import draw_influence
    from l3ac_jax.evaluation.perturbation import measure

    measured = measure(Probe(config, params), audio, options.token, options.sample, options.seed)
    title = f"{options.model}, {weights}"
    console = Console(highlight=False)
    console.print(f"{title}; {options.samples:,} samples of input", soft_wrap=True)
    good = _print(console, options, config, measured)
    if options.figure is not None:
        rate = config.sample_rate
        figure = draw_influence(measured, options.token, options.sample, rate, title)
        save_figure(figure, options.figure, options.overwrite)
    return 0 if good else FAILED


def _model(name: str, seed: int) -> tuple[CodecConfig, dict, str]:
    """Configuration, parameters, and what they are, in words."""
    if Path(name).suffix == ".toml":
        config = load_config(name).model
        from l3ac_jax.evaluation.random_params import random_params

        return config, random_params(config, seed), f"random parameters (seed {seed})"
    from l3ac_jax.weights.sources import load_params

    return *load_params(name), "its parameters"


def _check_positions(options: Options, config: CodecConfig) -> None:
    if options.samples < 1:
        raise ArgumentError(f"--samples: must be 1 or more, got {options.samples}")
    tokens = -(-options.samples // config.hop_length)
    for name, value, count in (
        ("token", options.token, tokens),
        ("sample", options.sample, options.samples),
    ):
        if not 0 <= value < count:
            raise ArgumentError(
                f"--{name}: must be 0 to {count - 1} for {options.samples} samples, got {value}"
            )


def _audio(options: Options, sample_rate: int) -> np.ndarray:
    import numpy as np

    from l3ac_jax.evaluation.clips import read_mono

    if options.audio is not None:
        clip = read_mono(options.audio, sample_rate)
    else:
        path = Path(str(files("l3ac_jax") / "assets" / "cmu_arctic_a0007.wav"))
        first, last = (round(second * sample_rate) for second in SENTENCE)
        clip = read_mono(path, sample_rate)[first:last]
    return np.resize(clip, options.samples)


def _print(console: Console, options: Options, config: CodecConfig, measured: Measured) -> bool:
    influences = {
        f"token {options.token}": measured.token,
        f"sample {options.sample:,}": measured.sample,
    }
    if config.decoder.norm_statistics in OVER_TIME:
        influences["statistics held"] = measured.sample_held
    console.print(_fields(influences, config))
    console.print(_shares(influences, config))
    console.print(_changes(measured))
    for line in _causes(options, config, measured):
        console.print(line, soft_wrap=True)
    proven = not config.causal or _proof(console, config, measured)
    exact = all(influence.outside() == 0 for influence in influences.values())
    good = proven and exact and all(change.as_structured for change in measured.changes)
    console.print("All is as the structure says." if good else "NOT as the structure says.")
    return good


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _fields(influences: dict[str, Influence], config: CodecConfig) -> Table:
    table = _table("\ninput samples", *(f"\n{name}" for name in influences))
    found = influences.values()
    ends = [(one.support(), one.support()[1] - int(one.field.own.last)) for one in found]
    rows = {
        "structure": [f"{one.field.first:,} to {one.field.last:,}" for one in found],
        "  look-ahead": [_length(one.field.look_ahead, config) for one in found],
        "derivative not 0": [f"{first:,} to {last:,}" for (first, last), _ in ends],
        "  look-ahead ": [_length(ahead, config) for _, ahead in ends],
        "  outside": [f"{one.outside():,}" for one in found],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _shares(influences: dict[str, Influence], config: CodecConfig) -> Table:
    table = _table("\nshare of the influence", *(f"\n{name}" for name in influences))
    for share in SHARES:  # held by all samples after the one end, or before the other
        back = [_length(one.look_back(share), config) for one in influences.values()]
        ahead = [_length(one.look_ahead(share), config) for one in influences.values()]
        table.add_row(f"{100 * share:g} %, look-back", *back)
        table.add_row(f"{100 * share:g} %, look-ahead", *ahead)
    return table


def _changes(measured: Measured) -> Table:
    table = _table("\ninput changed: what of", "\nlargest change", "\nmay change")
    for change in measured.changes:
        nothing = "too small for float32" if change.allowed else "none, bit by bit"
        size = f"{change.largest:.1e}" if change.largest else nothing
        table.add_row(change.what, size, "yes" if change.allowed else "no")
    return table


def _length(samples: int | float, config: CodecConfig) -> str:
    return "all" if math.isinf(samples) else f"{samples:,} ({_ms(samples, config)})"


def _proof(console: Console, config: CodecConfig, measured: Measured) -> bool:
    """Whether a causal configuration needs no more of the future than it declares."""
    from l3ac_jax.evaluation.receptive_field import (
        declared_last,
        declared_look_ahead,
        look_aheads,
    )

    needed, declared = look_aheads(config), declared_look_ahead(config)
    of_decoder = int(needed.decoder) - (config.hop_length - 1)
    beyond = {
        name: influence.after(declared_last(config, influence.field.own))
        for name, influence in (("token", measured.token), ("sample", measured.sample))
    }
    console.print(
        f"Causal. After a token's own hop of {_length(config.hop_length, config)} it declares a "
        f"look-ahead of {_length(int(declared), config)}; by structure the encoder needs "
        f"{needed.encoder:,} samples and the decoder {of_decoder:,}. Beyond it, samples with a "
        f"derivative: {beyond['token']:,} of the token's, {beyond['sample']:,} of the decoded "
        "sample's.\n",
        soft_wrap=True,
    )
    return needed.encoder + of_decoder <= declared and not any(beyond.values())


def _causes(options: Options, config: CodecConfig, measured: Measured) -> list[str]:
    """What each of the two fields comes from."""
    token, sample = f"\nToken {options.token}: ", f"\nDecoded sample {options.sample:,}: "
    if math.isinf(measured.token.field.look_ahead):
        everything = "GRN compares channels over the whole clip, so that every sample counts."
        return [token + everything, sample + everything]
    return [
        token + _token_cause(config, measured.token),
        sample + _sample_cause(config, measured.sample, measured.sample_held),
    ]


OVER_TIME = ("clip", "running")
NORM_CAUSES = {
    "clip": "the decoder's InstanceNorms take mean and variance over the whole clip, so that every "
    "sample counts. With these held, none after",
    "running": "the decoder's norms take mean and variance over all that came before, so that "
    "every sample up to there counts. None after",
    "none": "the decoder has no norms over time. No sample after",
}


def _token_cause(config: CodecConfig, token: Influence) -> str:
    ahead = token.field.look_ahead
    if ahead == 0:
        return "it looks at nothing after its own hop."
    cause = (
        f"its look-ahead of {ahead:,} samples ({_ms(ahead, config)}) comes from the encoder's "
        "convolutions, pooling and strides; its transformer looks at the past alone."
    )
    if config.tpooling.enabled:
        cause += (
            " Of the outermost samples the largest in a pooling window counts alone, so that "
            "derivatives end a little earlier, depending on the input."
        )
    return cause


def _sample_cause(config: CodecConfig, sample: Influence, held: Influence) -> str:
    from l3ac_jax.evaluation.receptive_field import look_aheads

    needed = look_aheads(config)
    before, after = NEIGHBOURHOOD
    beyond = sample.squares[held.field.inside(len(sample.squares)).stop :].sum()
    cause = NORM_CAUSES[config.decoder.norm_statistics]
    within, ahead = "", ""
    if config.decoder.norm_statistics in OVER_TIME:
        within = f" ({100 * held.within(before, after):.3g} % with statistics held)"
        ahead = f", {held.look_ahead(EFFECTIVE):,} with statistics held"
    return (
        f"{cause} {held.field.last:,} does; a look-ahead of at "
        f"most {needed.codec:,} samples ({_ms(needed.codec, config)}: decoder "
        f"{_ms(needed.decoder, config)}, encoder {_ms(needed.encoder, config)}). Beyond lies "
        f"{100 * beyond / (sample.squares.sum() or 1):.2g} % of the influence. From "
        f"{before:,} samples before to {after:,} after lie {100 * sample.within(before, after):.3g}"
        f" % of it{within}. Effective look-ahead, within which and before lie "
        f"{100 * EFFECTIVE:g} %: {sample.look_ahead(EFFECTIVE):,} samples{ahead}.\n"
    )


def _ms(samples: int | float, config: CodecConfig) -> str:
    return f"{1000 * samples / config.sample_rate:.1f} ms"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
