"""Damaged audio files, many of each format that is read: no crash or hang, no silent loss.

    python experiments/torture.py --variants 200 --out docs/robustness.md
    python experiments/torture.py --variants 20 --formats mp3 opus --keep runs/torture

Each variant of a recording is cut off, overwritten, has blocks that changed places, pieces that are
missing or twice, or a wrong size in its header, all by a seed. Processes of their own read them. A
variant is

    refused    an error says that it cannot be read
    told       it is decoded as far as it goes, and what is missing is told
    whole      it decodes to what the recording decodes to, sample by sample
    altered    all its samples are there, some with other values: without check sums nobody can tell
    longer     it decodes to more samples than the recording, and nothing is told
    unknown    samples are missing, of a format that does not say how many there should be
    lost       samples are missing, or changed in spite of check sums, and nothing is told: an error
    crashed    it ends the process, which is an error, as is a hang and memory without bounds
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from l3ac_jax.cli.run import FAILED, run_command
from l3ac_jax.errors import ArgumentError

sys.path.insert(0, str(Path(__file__).parent))

from audio_torture.campaign import Result, torture
from audio_torture.formats import RECORDINGS
from audio_torture.table import table

PROGRAM = "torture.py"


def run(
    variants: int = 200,
    formats: tuple[str, ...] = (),
    seed: int = 0,
    out: Path | None = None,
    keep: Path | None = None,
    processes: Annotated[int, tyro.conf.arg(help="that read")] = 1,
) -> int:
    """Read damaged variants of recordings, and say what became of them.

    Args:
        variants: of each format
        formats: of those in the table; all unless given
        seed: other variants with another one
        out: a file to write the table to, as well
        keep: a folder for the variants that show an error
        processes: that read at the same time
    """
    names = formats or tuple(RECORDINGS)
    if unknown := set(names) - set(RECORDINGS):
        raise ArgumentError(f"{min(unknown)}: the formats are {', '.join(RECORDINGS)}")
    results: dict[str, Result] = {}
    for name in names:
        results[name] = torture(name, variants, seed, keep, processes)
        counts = ", ".join(f"{count} {what}" for what, count in results[name].outcomes.items())
        print(f"{name}: {counts}", file=sys.stderr, flush=True)
    lines = table(results)
    print(lines)
    if out is not None:
        out.write_text(lines + "\n", encoding="utf-8")
    return FAILED if any(result.errors for result in results.values()) else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 1 where something was lost, crashed or hung."""
    return run_command(PROGRAM, lambda: tyro.cli(run, prog=PROGRAM, description=__doc__, args=argv))


if __name__ == "__main__":
    sys.exit(main())
