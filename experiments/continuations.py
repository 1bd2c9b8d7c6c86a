r"""How recordings go on as a language model over tokens draws them, and what it makes of real ones.

    python experiments/continuations.py runs/language recordings --out continuations.json --voices
    python experiments/continuations.py runs/language songs --out songs.json --audio songs-continued

MODEL is the folder of train_language.py. Of each clip of DATA, the first --prompt seconds are the
prompt and the next --seconds what follows: as recorded, as the codec decodes its own tokens, with
those tokens shuffled, and as the model draws them, once for each --temperature. Printed are, with
95 % confidence intervals over clips, repetition and use of levels, silence, with --voices also
DNSMOS and the voice's similarity to the prompt (of the recording), and Fréchet distances to what
was recorded, of log-mel statistics ("to mels") and voices. The line "recorded" has those between
one half of the clips and the other, which is what so few clips can tell.

A second table has the bits that the model finds in a token of DATA: in order, and in other orders.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError, OutputError

if TYPE_CHECKING:
    from l3ac_jax.codec.l3ac import L3AC
    from l3ac_jax.generation.continuations import Way
    from l3ac_jax.generation.judging import WayScores
    from l3ac_jax.generation.likelihood import Likelihood

PROGRAM = "continuations.py"
WIDTH = 110  # of the table, which would be unreadable with broken cells


@dataclass(frozen=True)
class Options:
    """What goes on, how, and where the results go."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Folder of a language model."""
    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder of audio files, or a file, that the model was not trained on."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Results as JSON."""
    audio: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """New folder for what was heard: prompt and continuation of each clip and way."""
    codec: str | None = None
    """The codec, where it has another name than when its tokens were written."""
    clips: int | None = None
    """So many clips, drawn at random from the domains in turn; all that are long enough."""
    prompt: float = 1.5
    """Seconds of a clip that are given."""
    seconds: float = 3
    """Seconds that follow."""
    temperature: Annotated[tuple[float, ...], tyro.conf.arg(metavar="T")] = (1.0, 0.8)
    """Of the distributions that tokens are drawn from."""
    top_p: float = 0.95
    """Share of all tokens' chances that is drawn from, their likeliest part."""
    voices: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """For speech: DNSMOS, and voices by Resemblyzer (the extra `scores`)."""
    seed: int = 0
    """Of the choice of clips, the drawing, and the confidence intervals."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def measure(options: Options) -> None:
    """Draw, measure, print and write."""
    from l3ac_jax.system.files import check_output, complete_file

    for name in ("prompt", "seconds"):
        if getattr(options, name) <= 0:
            raise ArgumentError(f"--{name}: must be more than 0")
    check_output(options.out, options.overwrite)
    if options.audio is not None and options.audio.exists():
        raise OutputError(f"{options.audio}: exists already: give a new folder")
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.generation.codecs import codec_of
    from l3ac_jax.generation.continuations import Drawing, ways_to_go_on
    from l3ac_jax.generation.folder import load_language_model
    from l3ac_jax.generation.judging import check_packages, judged
    from l3ac_jax.generation.likelihood import likelihoods
    from l3ac_jax.system.compilation import keep_compiled_programs

    check_packages(options.voices)
    keep_compiled_programs()
    trained = load_language_model(options.model)
    if trained.labels:
        raise ArgumentError(
            f"{options.model}: is told labels (data.labelled), which recordings of DATA do not "
            "have: see recognized.py"
        )
    codec = codec_of(trained, options.codec)
    prompt = max(1, round(options.prompt * codec.frame_rate))
    length = prompt + max(1, round(options.seconds * codec.frame_rate))
    names, clips = _clips(options, codec, length)
    drawings = [Drawing(temperature, options.top_p) for temperature in options.temperature]
    ways = []
    for way in ways_to_go_on(trained, codec, clips, prompt, drawings, options.seed):
        ways.append(way)
        if options.audio is not None:
            _write_audio(options.audio, way, names, clips, prompt, codec)
    heard = [clip[: prompt * codec.hop_length] for clip in clips]
    levels = codec.config.quantizer.levels
    scores = judged(ways, heard, codec.sample_rate, levels, options.voices, options.seed)
    print_table(_ways_table(scores, len(clips), options), WIDTH)
    windows = _windows(codec, options, trained.config.model.context)
    found = likelihoods(trained, windows, options.seed)
    print_table(_likelihood_table(found, codec.frame_rate))
    report = {
        "model": str(options.model),
        "step": trained.step,
        "codec": codec.name,
        "data": str(options.data),
        "clips": names,
        "prompt_tokens": prompt,
        "tokens": length - prompt,
        "top_p": options.top_p,
        "seed": options.seed,
        "ways": [way.as_dict() for way in scores],
        "bits_per_token": {row.name: row.bits_per_token for row in found},
    }
    with complete_file(options.out, options.overwrite) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _clips(options: Options, codec: L3AC, tokens: int) -> tuple[list[str], list]:
    """Names and audio of clips that are long enough, cut to one length."""
    from l3ac_jax.evaluation.clips import choose_clips, find_clips, read_mono

    samples = tokens * codec.hop_length
    clips = {clip: read_mono(clip.path, codec.sample_rate) for clip in find_clips(options.data)}
    long_enough = [clip for clip, audio in clips.items() if len(audio) >= samples]
    seconds = samples / codec.sample_rate
    if len(long_enough) < 2:
        raise ArgumentError(
            f"{options.data}: {len(long_enough)} of {len(clips)} clips have the {seconds:.2f} s of "
            "--prompt and --seconds together; at least 2 are needed"
        )
    chosen = choose_clips(long_enough, options.clips, options.seed)
    return [clip.name for clip in chosen], [clips[clip][:samples] for clip in chosen]


def _windows(codec: L3AC, options: Options, context: int):
    """Windows of the model's context, out of all of the data's clips one after the other."""
    import numpy as np

    from l3ac_jax.evaluation.clips import find_clips, read_mono

    rows = [
        np.asarray(codec.encode(read_mono(clip.path, codec.sample_rate)[None]))[0]
        for clip in find_clips(options.data)
    ]
    tokens = np.concatenate(rows)
    if len(tokens) < context:
        raise ArgumentError(
            f"{options.data}: {len(tokens)} tokens are less than the model's context, {context}"
        )
    return tokens[: len(tokens) // context * context].reshape(-1, context)


def _write_audio(
    folder: Path, way: Way, names: list[str], clips: list, prompt: int, codec: L3AC
) -> None:
    """FOLDER/WAY/CLIP.flac: the recorded prompt, then the continuation."""
    import numpy as np

    from l3ac_jax.audio.writing import write_audio
    from l3ac_jax.evaluation.evaluate import file_name

    for name, clip, continuation in zip(names, clips, way.continuations, strict=True):
        target = (folder / file_name(way.name) / name).with_suffix(".flac")
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = np.concatenate([clip[: prompt * codec.hop_length], continuation.audio])
        write_audio(target, whole[None], codec.sample_rate, "PCM_16")


# name: heading, decimals
SCORES = {
    "dnsmos": ("DNSMOS", 2),
    "similarity": ("voice", 2),
    "repeated": ("repeated", 2),
    "periodicity": ("periodic", 2),
    "entropy": ("bits", 1),
    "quiet": ("quiet", 2),
}
DISTANCES = {"mel": ("to mels", 2), "voices": ("to voices", 2)}


def _ways_table(ways: list[WayScores], clips: int, options: Options) -> Table:
    title = f"{clips} clips of {options.data}: {options.prompt:g} s, then {options.seconds:g} s"
    table = Table("goes on", title=title, title_justify="left", box=SIMPLE_HEAD)
    used = [name for name in SCORES if any(name in way.scores for way in ways)]
    distances = [name for name in DISTANCES if any(name in way.distances for way in ways)]
    for heading, _ in (*(SCORES[n] for n in used), *(DISTANCES[n] for n in distances)):
        table.add_column(heading, justify="right")
    for way in ways:
        cells = []
        for name in used:
            digits, interval = SCORES[name][1], way.scores.get(name)
            half = (interval.high - interval.low) / 2 if interval else 0
            cells.append(f"{interval.mean:.{digits}f} ±{half:.{digits}f}" if interval else "")
        for name in distances:
            value = way.distances.get(name)
            cells.append("" if value is None else f"{value:.{DISTANCES[name][1]}f}")
        table.add_row(way.name, *cells)
    return table


def _likelihood_table(found: list[Likelihood], frame_rate: float) -> Table:
    title = "what the model finds in a token, with half a context or more before it"
    table = Table("tokens", title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("bits a token", "bits a second"):
        table.add_column(heading, justify="right")
    for row in found:
        table.add_row(
            row.name, f"{row.bits_per_token:.2f}", f"{row.bits_per_token * frame_rate:.0f}"
        )
    return table


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_command(
        PROGRAM,
        lambda: measure(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
        "no file was written",
    )


if __name__ == "__main__":
    sys.exit(main())
