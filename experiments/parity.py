r"""One recording through the official code and through this one, with the same weights.

    python experiments/parity.py
    python experiments/parity.py --model 1kbps

The weights are random (seeded, every parameter off its initial value), so that nothing needs to be
downloaded: what is shown is how closely the two agree, not how good the codec sounds. The exit code
is 1 if they do not agree. Needs the official package: pip install 'l3ac-jax[torch]'
"""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.console import Console
from rich.table import Table

from l3ac_jax.cli.run import FAILED, run_command

if TYPE_CHECKING:
    from l3ac_jax.oracle.parity import Parity

PROGRAM = "parity.py"
CLIP = "cmu_arctic_a0007.wav"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which network."""

    model: Literal["0k75bps", "1kbps", "1k5bps", "3kbps"] = "3kbps"
    """Published model whose configuration the network has."""


def run(options: Options) -> int:
    """Print the comparison; 1 if the two do not agree."""
    from l3ac_jax.oracle.codec import import_official, seeded_codec

    import_official()  # first: what is missing is said at once
    from l3ac_jax.audio.reading import read_audio
    from l3ac_jax.config import published_config
    from l3ac_jax.oracle.parity import compare, converted
    from l3ac_jax.system.compilation import CompilationNotice, keep_compiled_programs

    keep_compiled_programs()
    console = Console()
    audio = read_audio(Path(str(files("l3ac_jax") / "assets" / CLIP))).samples
    experiment = published_config(options.model)
    console.print(f"1. the official {options.model} network with seeded weights")
    official = seeded_codec(experiment.model)
    console.print("2. saved as five .pt files, converted to a model folder, and loaded")
    codec = converted(official, experiment)
    seconds = audio.shape[1] / codec.sample_rate
    console.print(f"3. {seconds:.2f} s of speech ({CLIP}) through both")
    with closing(CompilationNotice(lambda line: console.print(f"   {line} (once)"))) as notice:
        codec.on_compile = notice
        parity = compare(audio, official, codec)
    console.print(_table(parity))
    console.print("They agree." if parity.agrees else "They do NOT agree.")
    return 0 if parity.agrees else FAILED


def _table(parity: Parity) -> Table:
    from l3ac_jax.oracle.parity import rms

    official, ours = parity.official, parity.ours
    table = Table("", "official", "l3ac-jax")
    table.add_row("tokens that agree", "", f"{parity.same_tokens} of {official.tokens.size}")
    table.add_row(
        "audio from the same tokens, rms", f"{rms(official.audio):.4f}", f"{rms(ours.audio):.4f}"
    )
    table.add_row("difference of the two, rms", "", f"{parity.error:.1e}")
    for what in ("encode", "decode"):
        seconds = (getattr(outcome, f"{what}_seconds") for outcome in (official, ours))
        table.add_row(what, *(f"{value:.3f} s" for value in seconds))
    return table


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 if the two do not agree, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM, lambda: run(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
