"""The demo: recordings of this package through a model, to read about, look at and listen to."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from l3ac_jax.audio.reading import read_audio
from l3ac_jax.audio.writing import write_audio
from l3ac_jax.cli.command import DeviceOptions, loaded
from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.evaluation.clips import read_mono
from l3ac_jax.evaluation.codecs import NeuralCodec
from l3ac_jax.evaluation.report import ClipScores, Report
from l3ac_jax.system.folders import check_target, complete_folder
from l3ac_jax.tokens.bitstream.files import WrittenSize, save

__all__ = ["CLIPS", "DemoClip", "run_demo"]

Audio = Float[np.ndarray, " time"]


class DemoClip(NamedTuple):
    """A recording of this package."""

    title: str
    asset: str
    domain: str

    @property
    def name(self) -> str:
        """What its files in the demo's folder begin with."""
        return self.title.lower()

    @property
    def original(self) -> str:
        """What went in."""
        return f"{self.name}.original.wav"

    @property
    def tokens(self) -> str:
        """What it was encoded to."""
        return f"{self.name}.l3ac"

    @property
    def decoded(self) -> str:
        """What that was decoded to."""
        return f"{self.name}.decoded.wav"


SPEECH, MUSIC = "speech", "music"
# Of one length to compile for.
CLIPS = (
    DemoClip("English", "cmu_arctic_a0007.wav", SPEECH),
    DemoClip("Russian", "festvox_ru_0003.flac", SPEECH),
    DemoClip("Guitar", "guit_em9.flac", MUSIC),
    DemoClip("Piano", "ambi_piano.flac", MUSIC),
)
FIGURE, PAGE = "spectrograms.png", "listening.html"
FILES = {FIGURE, PAGE, *(file for c in CLIPS for file in (c.original, c.tokens, c.decoded))}

# What needs more than the codec does: packages of the extra `train`.
STOI = "STOI"
NEEDS = {STOI: ["pystoi"], FIGURE: ["matplotlib"], PAGE: ["jinja2", "matplotlib", "PIL"]}


@dataclass(frozen=True)
class Result:
    """What became of a clip; audio as it is in the files, times in seconds of computing."""

    clip: DemoClip
    original: Audio
    decoded: Audio
    seconds: float
    tokens: int
    size: WrittenSize
    encode_seconds: float
    decode_seconds: float
    stoi: float | None

    @property
    def bits(self) -> int:
        """What the tokens take in the file, without its header."""
        return 8 * self.size.block_bytes


def run_demo(out: Path, model: str, device: DeviceOptions) -> int:
    """Make the folder `out` and say what is in it. Returns 0.

    An existing folder is replaced if it holds nothing but files of an earlier demo. Raises
    OutputError for others, and what `get_model` raises.
    """
    check_target(out, True, FILES)
    missing = [what for what, packages in NEEDS.items() if not all(map(_importable, packages))]
    with loaded(model, device) as codec:
        under_test = NeuralCodec(model, codec)
        with complete_folder(out, True, FILES) as folder:
            results = [_reconstruct(clip, under_test, folder, missing) for clip in CLIPS]
            _illustrate(results, under_test, folder, missing)
    _show(Console(highlight=False, markup=False), results, codec, out, missing)
    return 0


def _importable(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def _reconstruct(
    clip: DemoClip, under_test: NeuralCodec, folder: Path, missing: Sequence[str]
) -> Result:
    """Encode a clip to a file and decode that file."""
    codec = under_test.codec
    original, tokens, decoded = (
        folder / name for name in (clip.original, clip.tokens, clip.decoded)
    )
    with as_file(files("l3ac_jax") / "assets" / clip.asset) as path:
        audio = read_audio(path)
    write_audio(original, audio.samples, audio.sample_rate, "PCM_16")
    encoded = codec.encode_file(original)
    size = save(tokens, encoded)
    codec.decode_file(tokens, decoded)
    before, after = (read_mono(path, codec.sample_rate) for path in (original, decoded))
    timed = under_test.code(before)
    assert timed.encode_seconds is not None and timed.decode_seconds is not None
    score = None
    if clip.domain == SPEECH and STOI not in missing:
        from l3ac_jax.metrics.speech import stoi

        score = stoi(before, after, codec.sample_rate)
    return Result(
        clip,
        before,
        after,
        encoded.seconds,
        encoded.tokens.size,
        size,
        timed.encode_seconds,
        timed.decode_seconds,
        score,
    )


def _illustrate(
    results: Sequence[Result], under_test: NeuralCodec, folder: Path, missing: Sequence[str]
) -> None:
    """The picture and the page."""
    info = under_test.info
    if FIGURE not in missing:
        from l3ac_jax.evaluation.spectrogram_figure import draw_spectrograms
        from l3ac_jax.plots.figures import save_figure

        pairs = {
            result.clip.title: {"original": result.original, "decoded": result.decoded}
            for result in results
        }
        title = f"{info.name}, {info.bitrate:,.0f} bit/s"
        save_figure(draw_spectrograms(pairs, info.sample_rate, title), folder / FIGURE)
    if PAGE not in missing:
        from l3ac_jax.evaluation.listening_page import write_listening_page

        by_title = {result.clip.title: result for result in results}
        scores = tuple(
            ClipScores(
                codec=info.name,
                clip=result.clip.title,
                domain=result.clip.domain,
                seconds=result.seconds,
                scores={"stoi": result.stoi},
            )
            for result in results
        )
        # No summaries: means over so few clips say nothing.
        report = Report(data="the demo", seed=0, codecs=(info,), clips=scores, summaries=())
        write_listening_page(
            folder / PAGE,
            report,
            lambda clip: by_title[clip].original,
            lambda _, clip: by_title[clip].decoded,
            info.sample_rate,
        )


def _show(
    console: Console, results: Sequence[Result], codec: L3AC, out: Path, missing: Sequence[str]
) -> None:
    lines = [
        "bits: tokens and check sums; the header of a .l3ac file takes "
        f"{8 * results[0].size.header_bytes} more",
        "real-time factor: seconds of computing for a second of audio, after compiling",
    ]
    if STOI not in missing:
        lines.append("STOI: how intelligible speech is, at most 1; says nothing of music")
    console.print(
        f"{codec.name}: {codec.frame_rate:.2f} tokens/s, one of {codec.codebook_size:,} each: "
        f"{codec.bitrate:.1f} bit/s",
        soft_wrap=True,
    )
    console.print(_table(results))
    console.print("\n".join(lines), soft_wrap=True)
    rows = {
        "*.original.wav": "what went in",
        "*.l3ac": "what it was encoded to",
        "*.decoded.wav": "what that was decoded to",
        FIGURE: "originals above, decoded below",
        PAGE: "to listen and compare, in a browser",
    }
    made = {str(out / name): what for name, what in rows.items() if name not in missing}
    width = max(map(len, made))
    console.print()
    for path, what in made.items():
        console.print(f"{path:<{width}}  {what}", soft_wrap=True)
    if missing:
        console.print(f"pip install 'l3ac-jax[train]' adds {', '.join(missing)}", soft_wrap=True)


def _table(results: Sequence[Result]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    columns = ("\nclip", "\nseconds", "\ntokens", "\nbits", "\nbit/s", "\nnominal", "\nSTOI",
               "real-time\nencode", "factor\ndecode")  # fmt: skip
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for result in results:
        table.add_row(
            result.clip.title,
            f"{result.seconds:.2f}",
            f"{result.tokens}",
            f"{result.bits}",
            f"{result.bits / result.seconds:.1f}",
            f"{result.size.nominal_bits / result.seconds:.1f}",
            "-" if result.stoi is None else f"{result.stoi:.3f}",
            f"{result.encode_seconds / result.seconds:.3f}",
            f"{result.decode_seconds / result.seconds:.3f}",
        )
    return table
