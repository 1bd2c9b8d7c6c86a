r"""Whether a recognizer knows what a language model over tokens was told to say.

    l3ac-jax tokens letters runs/letters --model stream         (letters/a/1.ogg, letters/b/1.ogg)
    python experiments/train_language.py configs/language.toml --run-dir runs/spelling \
        --data.train '["runs/letters"]' --data.labelled true
    python experiments/recognized.py runs/spelling letters other-letters --out recognized.json

MODEL is the folder of train_language.py, trained with `data.labelled` on the recordings of DATA.
OTHERS are recordings of the same labels that it has not heard: a recognizer (a logistic regression
on log-mel statistics) is trained on them. Printed is how many (%) it takes for what they should be:
recordings of DATA, what the codec makes of them, and sounds that the model draws, --each for each
label and once for each --temperature; and which share of their runs of three tokens is in a
recording of DATA of the same label, so that one sees what the model only repeats.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError, OutputError

PROGRAM = "recognized.py"


@dataclass(frozen=True)
class Options:
    """What is drawn, who recognizes it, and where the results go."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Folder of a language model with labels."""
    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder of the recordings that it was trained on; their folders are their labels."""
    others: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OTHERS")]
    """Folder of recordings to train the recognizer on."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Results as JSON."""
    audio: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """New folder for what was drawn."""
    codec: str | None = None
    """The codec, where it has another name than when its tokens were written."""
    each: int = 10
    """Sounds of each label to draw."""
    temperature: Annotated[tuple[float, ...], tyro.conf.arg(metavar="T")] = (1.0, 0.8)
    """Of the distributions that tokens are drawn from."""
    top_p: float = 0.95
    """Share of all tokens' chances that is drawn from, their likeliest part."""
    seed: int = 0
    """Of the drawing and of the confidence intervals."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file."""


def measure(options: Options) -> None:
    """Draw, recognize, print and write."""
    from l3ac_jax.system.files import check_output, complete_file

    if options.each < 1:
        raise ArgumentError("--each: must be at least 1")
    check_output(options.out, options.overwrite)
    if options.audio is not None and options.audio.exists():
        raise OutputError(f"{options.audio}: exists already: give a new folder")
    # Only here: what is wrong so far is said at once.
    from l3ac_jax.evaluation.clips import find_clips
    from l3ac_jax.generation import recognition
    from l3ac_jax.generation.codecs import codec_of
    from l3ac_jax.generation.continuations import Drawing
    from l3ac_jax.generation.folder import load_language_model
    from l3ac_jax.system.compilation import keep_compiled_programs

    keep_compiled_programs()
    trained = load_language_model(options.model)
    if not trained.labels:
        raise ArgumentError(f"{options.model}: was trained without labels (data.labelled)")
    codec = codec_of(trained, options.codec)
    labels = list(trained.labels)
    sounds, others = (
        recognition.recorded(find_clips(folder), codec, labels)
        for folder in (options.data, options.others)
    )
    if missing := sorted(set(labels) - {sound.label for sound in sounds}):
        raise ArgumentError(f"{options.data}: has no recordings of {', '.join(missing)}")
    recognizer = recognition.Recognizer(others, codec.sample_rate)
    coded = recognition.said_again(sounds, codec)
    ways = {"recorded": sounds, "coded": coded}
    told = [label for label in labels for _ in range(options.each)]
    for number, temperature in enumerate(options.temperature):
        drawing = Drawing(temperature, options.top_p)
        ways[drawing.name] = recognition.drawn(trained, codec, told, drawing, options.seed + number)
        if options.audio is not None:
            _write_audio(options.audio / drawing.name, ways[drawing.name], codec.sample_rate)
    rows = {}
    for name, said in ways.items():
        accuracy = recognizer.accuracy(said, options.seed)
        rows[name] = {"accuracy": accuracy.model_dump(), "sounds": len(said)}
        if said is not sounds and said is not coded:
            rows[name]["copied"] = recognition.share_copied(said, coded)
    print_table(_table(rows, len(labels), len(others), options))
    report = {
        "model": str(options.model),
        "step": trained.step,
        "codec": codec.name,
        "labels": labels,
        "data": str(options.data),
        "others": str(options.others),
        "sounds_of_others": len(others),
        "top_p": options.top_p,
        "seed": options.seed,
        "ways": rows,
    }
    with complete_file(options.out, options.overwrite) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _write_audio(folder: Path, said: list, sample_rate: int) -> None:
    """FOLDER/LABEL/NUMBER.flac."""
    from l3ac_jax.audio.writing import write_audio

    for number, sound in enumerate(said):
        target = folder / sound.label / f"{number:04}.flac"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_audio(target, sound.audio[None], sample_rate, "PCM_16")


def _table(rows: dict, labels: int, others: int, options: Options) -> Table:
    title = (
        f"{labels} labels (by chance {100 / labels:.0f} %); recognizer: {others} recordings of "
        f"{options.others}"
    )
    table = Table("said", title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("sounds", "recognized (%)", "copied (%)"):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        accuracy = row["accuracy"]
        table.add_row(
            name,
            str(row["sounds"]),
            f"{accuracy['mean']:.1f} ({accuracy['low']:.1f} to {accuracy['high']:.1f})",
            f"{100 * row['copied']:.1f}" if "copied" in row else "",
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
