r"""Recordings for applications.py: words, voices and sounds, out of Debian packages.

    python experiments/application_sets.py recordings
    python experiments/applications.py base recordings/words --application words --out words.json

OUT/words/SPEAKER/NAME.flac with what is said in NAME.txt: five sentences of LibriVox and five
games of cards (pocketsphinx-testdata), and prompts of Asterisk, whose speaker the bundled models
were trained on. OUT/voices/VOICE/NUMBER.flac: phrases of hedgehogs of Hedgewars, one after the
other until there are 4 s; no model was trained on them. OUT/sounds/CLASS/NAME.flac: samples of
Sonic Pi. All are mono. For notes, there is music_evaluation.py.

180 MB are downloaded, with apt-get, and kept in OUT/packages; `--packages` names a folder that has
them. Prompts are decoded by ffmpeg. The recordings have free licences of their own:
usr/share/doc/*/copyright in each package.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, NamedTuple

import tyro
from debian_packages import unpack
from rich.console import Console

from l3ac_jax.cli.run import run_command
from l3ac_jax.errors import ArgumentError, OutputError, SourceError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from l3ac_jax.audio.reading import AudioFile

PROGRAM = "application_sets.py"
SPHINX, PROMPTS, TEXTS, HEDGEWARS, SONIC_PI = (
    "pocketsphinx-testdata",
    "asterisk-core-sounds-en-g722",
    "asterisk-core-sounds-en",
    "hedgewars-data",
    "sonic-pi-samples",
)
PROMPT_WORDS = range(8, 31)
NOT_A_VOICE = "Robot"
VOICE_SECONDS, SHORTEST_SOUND = 4.0, 1.6
CLASSES = ("loop", "ambi", "tabla", "bass", "drum")  # of sounds: what their names begin with


class Recording(NamedTuple):
    """What becomes OUT/`name`.flac: `paths` in a row; what is said in it, where that is known."""

    name: Path
    paths: tuple[Path, ...]
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where the recordings go, and how many."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """A new folder, but for its packages."""
    prompts: int = 60
    """Prompts of Asterisk, the first ones by name with 8 to 30 words and no digits."""
    recordings: int = 6
    """Of each voice, at most."""
    packages: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Unpacked packages, DIR/PACKAGE/usr/...; nothing is downloaded."""


def make(options: Options) -> int:
    """Write all recordings."""
    for name in ("prompts", "recordings"):
        if getattr(options, name) < 1:
            raise ArgumentError(f"--{name}: at least 1 is needed, got {getattr(options, name)}")
    sets = ("words", "voices", "sounds")
    for name in sets:
        if (options.out / name).exists():
            raise OutputError(f"{options.out / name}: exists already: give a new folder")
    from l3ac_jax.audio.writing import write_audio

    packages = options.packages or options.out / "packages"
    if options.packages is None:
        for package in (SPHINX, PROMPTS, TEXTS, HEDGEWARS, SONIC_PI):
            unpack(package, packages)
    found = {
        "words": [*sentences(packages), *prompts(packages, options.prompts)],
        "voices": list(voices(packages, options.recordings)),
        "sounds": list(sounds(packages)),
    }
    console = Console(soft_wrap=True)
    for name, recordings in found.items():
        if not recordings:
            raise SourceError(f"{packages}: no {name} in these packages")
    for name, recordings in found.items():
        for recording in recordings:
            target = options.out / name / recording.name.with_suffix(".flac")
            target.parent.mkdir(parents=True, exist_ok=True)
            samples, rate = joined(recording.paths)
            write_audio(target, samples, rate, "PCM_16")
            if recording.text:
                target.with_suffix(".txt").write_text(recording.text + "\n", encoding="utf-8")
        console.print(f"{options.out / name}: {len(recordings)} recordings", highlight=False)
    return 0


def sentences(packages: Path) -> Iterator[Recording]:
    """Of pocketsphinx-testdata, as its lists of `<s> WORDS </s> (NAME)` have them."""
    folder = packages / SPHINX / "usr/share/pocketsphinx/test/data"
    for speaker, listed in (("librivox", "transcription"), ("cards", "cards.transcription")):
        for text, name in re.findall(
            r"<s> *(.*?) *</s> *\((.*)\)", text_of(folder / speaker / listed)
        ):
            yield Recording(Path(speaker, name), (folder / speaker / f"{name}.wav",), text)


def prompts(packages: Path, count: int) -> list[Recording]:
    """Of Asterisk, with the text that its list, `NAME: TEXT`, gives them; each text once."""
    sounds_folder = packages / PROMPTS / "usr/share/asterisk/sounds"
    listed = text_of(packages / TEXTS / "usr/share/doc" / TEXTS / "core-sounds-en.txt.gz")
    files = {path.stem: path for path in sorted(sounds_folder.rglob("*.g722"))}
    chosen: dict[str, Recording] = {}
    for name, text in sorted(re.findall(r"^([\w-]+): *(.*)$", listed, re.MULTILINE)):
        text = re.sub(r"[.,?!\s]+", " ", text).strip().lower()
        plain = re.fullmatch(r"[a-z' ]+", text)
        if plain and len(text.split()) in PROMPT_WORDS and name in files:
            chosen.setdefault(text, Recording(Path("asterisk", name), (files[name],), text))
    return list(chosen.values())[:count]


def voices(packages: Path, count: int) -> Iterator[Recording]:
    """Of Hedgewars, each voice a folder, its phrases in the order of their names."""
    folder = packages / HEDGEWARS / "usr/share/games/hedgewars/Data/Sounds/voices"
    for voice in sorted(folder.glob("*/")):
        if voice.name == NOT_A_VOICE:
            continue
        for number, row in enumerate(islice(phrases(voice), count), 1):
            yield Recording(Path(voice.name, f"{number}"), row)


def phrases(voice: Path) -> Iterator[tuple[Path, ...]]:
    """A voice's recordings, as many in a row as come to VOICE_SECONDS."""
    row, length = [], 0.0
    for path in sorted(voice.glob("*.ogg")):
        row.append(path)
        length += seconds(path)
        if length >= VOICE_SECONDS:
            yield tuple(row)
            row, length = [], 0.0


def sounds(packages: Path) -> Iterator[Recording]:
    """Of Sonic Pi, by CLASSES."""
    folder = packages / SONIC_PI / "usr/share"
    for path in sorted(folder.rglob("*.flac")):
        kind = path.stem.split("_")[0]
        if kind in CLASSES and seconds(path) >= SHORTEST_SOUND:
            yield Recording(Path(kind, path.stem), (path,))


def text_of(path: Path) -> str:
    """A text file's, compressed or not. Raises SourceError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def seconds(path: Path) -> float:
    """How long a recording is."""
    audio = read(path)
    return audio.samples.shape[-1] / audio.sample_rate


def joined(paths: Sequence[Path]) -> tuple[Float[np.ndarray, "1 t"], int]:
    """Recordings one after the other, mono, and the rate, which is the first one's."""
    import numpy as np

    from l3ac_jax.audio.resampling import resample

    audios = [read(path) for path in paths]
    rate = audios[0].sample_rate
    mono = [(a.samples.mean(axis=0, keepdims=True), a.sample_rate) for a in audios]
    parts = [samples if own == rate else resample(samples, own, rate) for samples, own in mono]
    return np.concatenate(parts, axis=1), rate


def read(path: Path) -> AudioFile:
    """A recording; Asterisk's by way of ffmpeg. Raises SourceError, AudioError."""
    from l3ac_jax.audio.reading import read_audio

    if path.suffix != ".g722":
        return read_audio(path)
    with TemporaryDirectory() as folder:
        decoded = Path(folder, "decoded.wav")
        command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), str(decoded)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise SourceError("ffmpeg: not installed: the prompts of Asterisk need it") from None
        except subprocess.CalledProcessError as error:
            raise SourceError(f"{path}: ffmpeg: {error.stderr.strip()}") from None
        return read_audio(decoded)


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM,
        lambda: make(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv)),
    )


if __name__ == "__main__":
    sys.exit(main())
