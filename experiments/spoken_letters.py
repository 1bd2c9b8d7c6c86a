r"""Spoken letters for a language model that is told what to say: of KLettres, a Debian package.

    python experiments/spoken_letters.py letters
    l3ac-jax tokens letters/heard runs/letters --model stream

OUT/heard/LETTER/LANGUAGE-SPEED.flac is for the language model, OUT/others/... for the recognizer
(recognized.py): the languages that have all --letters, every second one each, with a voice of its
own. Each recording is there once for each of the --speeds, which change its pitch too, without the
silence around it. 38 MB are downloaded, with apt-get, and kept in OUT/packages; --packages names a
folder that has them. The recordings have free licences of their own:
usr/share/doc/klettres-data/copyright.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from debian_packages import unpack
from rich.console import Console

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError, OutputError, SourceError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

PROGRAM = "spoken_letters.py"
PACKAGE = "klettres-data"
FOLDER = Path("usr/share/klettres")
FOLDERS = ("heard", "others")
SILENCE_DB = -40.0  # below the loudest 10 ms of a recording


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where the recordings go, and which."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """A new folder, but for its packages."""
    letters: str = "fklmnprstx"
    """Their names, which are alike in the languages of Europe."""
    speeds: Annotated[tuple[float, ...], tyro.conf.arg(metavar="S")] = (
        0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2,
    )  # fmt: skip
    """How much faster each recording is played."""
    rate: int = 16000
    """Samples a second."""
    packages: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Unpacked packages, DIR/PACKAGE/usr/...; nothing is downloaded."""


def make(options: Options) -> int:
    """Write all recordings."""
    letters = sorted(set(options.letters))
    if len(letters) < 2 or not all(re.fullmatch("[a-z]", letter) for letter in letters):
        raise ArgumentError(f"--letters: two or more of a to z, got {options.letters!r}")
    if not all(0.5 <= speed <= 2 for speed in options.speeds):
        raise ArgumentError("--speeds: must be from 0.5 to 2")
    if not 8000 <= options.rate <= 48000:
        raise ArgumentError(f"--rate: 8000 to 48000 Hz, got {options.rate}")
    for name in FOLDERS:
        if (options.out / name).exists():
            raise OutputError(f"{options.out / name}: exists already: give a new folder")
    from l3ac_jax.audio.reading import read_audio
    from l3ac_jax.audio.resampling import resample
    from l3ac_jax.audio.writing import write_audio

    packages = options.packages or options.out / "packages"
    if options.packages is None:
        unpack(PACKAGE, packages)
    recordings = complete_languages(packages / PACKAGE / FOLDER, letters)
    if len(recordings) < len(FOLDERS):
        raise SourceError(
            f"{packages / PACKAGE / FOLDER}: two languages with all of {''.join(letters)} are "
            f"needed, {len(recordings)} found"
        )
    for number, (language, files) in enumerate(recordings.items()):
        for letter, path in files.items():
            audio = read_audio(path)
            spoken = trimmed(audio.samples.mean(axis=0), audio.sample_rate)
            target = options.out / FOLDERS[number % len(FOLDERS)] / letter
            target.mkdir(parents=True, exist_ok=True)
            for speed in options.speeds:
                as_if = round(audio.sample_rate * speed)
                samples = resample(spoken[None], as_if, options.rate)
                write_audio(target / f"{language}-{speed:g}.flac", samples, options.rate, "PCM_16")
    languages = list(recordings)
    console = Console(soft_wrap=True)
    for number, name in enumerate(FOLDERS):
        words = ", ".join(languages[number :: len(FOLDERS)])
        console.print(f"{options.out / name}: {len(letters)} letters: {words}", highlight=False)
    return 0


def complete_languages(folder: Path, letters: list[str]) -> dict[str, dict[str, Path]]:
    """The recording of each letter by language, of those that have all of them.

    Files are named A.ogg, a.ogg or U0061.ogg, some languages' otherwise: these are left out.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*/alpha/*.ogg")):
        name = path.stem
        if re.fullmatch("U00[0-9A-F]{2}", name):
            name = chr(int(name[1:], 16))
        found.setdefault(path.parts[-3], {}).setdefault(name.lower(), path)
    return {
        language: {letter: files[letter] for letter in letters}
        for language, files in found.items()
        if set(letters) <= set(files)
    }


def trimmed(audio: Float[np.ndarray, " t"], sample_rate: int) -> Float[np.ndarray, " t"]:
    """Without what is quieter than SILENCE_DB at both ends, in steps of 10 ms."""
    import numpy as np

    step = sample_rate // 100
    if len(audio) < step:
        return audio
    levels = np.sqrt(np.mean(audio[: len(audio) // step * step].reshape(-1, step) ** 2, axis=1))
    loud = np.flatnonzero(levels >= levels.max() * 10 ** (SILENCE_DB / 20))
    return audio[loud[0] * step : (loud[-1] + 1) * step]


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM,
        lambda: make(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
    )


if __name__ == "__main__":
    sys.exit(main())
