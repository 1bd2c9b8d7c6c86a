"""A corpus as its publisher ships it -> shards of 16 kHz mono clips for training and evaluation.

    python experiments/prepare_data.py librispeech  downloads/LibriSpeech       data/librispeech
    python experiments/prepare_data.py common-voice downloads/cv-corpus-18.0/en data/common-voice
    python experiments/prepare_data.py mtg-jamendo  downloads/mtg-jamendo       data/mtg-jamendo
    python experiments/prepare_data.py fsd50k       downloads/FSD50K            data/fsd50k
    python experiments/prepare_data.py folder       recordings                  data/recordings

What SOURCE should hold:
    librispeech   train-clean-100, dev-clean, test-clean...: those that lie there, unpacked
    common-voice  a language's folder with clips, train.tsv, dev.tsv and test.tsv, or the one above
    mtg-jamendo   raw_30s_audio-low-NN.tar, packed, and splits/split-0 of its metadata repository
    fsd50k        FSD50K.dev_audio, FSD50K.eval_audio and FSD50K.ground_truth, unpacked
    folder        any tree of WAV, FLAC, OGG and MP3 files

TARGET gets ArrayRecord shards (16-bit FLAC inside), dataset.json, and skipped.tsv with what was not
used, or is not whole, and why. Ended at any moment, the same command goes on, and the result is the
same to the byte. So it is when several machines share the work: N calls with --shard I/N and one
with --merge, or one with --ray (docs/cluster.md). TARGET, and the SOURCE of a folder, can be URLs
that fsspec knows (s3://BUCKET/..., gs://...).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from l3ac_jax.cli.cluster import ClusterOptions, every_minute
from l3ac_jax.cli.command import note
from l3ac_jax.cli.printing import print_table
from l3ac_jax.cli.run import run_command
from l3ac_jax.config.data import CorpusName
from l3ac_jax.errors import ArgumentError

if TYPE_CHECKING:
    from l3ac_jax.data.dataset import DatasetInfo
    from l3ac_jax.data.pool import PreparationProgress, Report
    from l3ac_jax.data.prepare import Preparation
    from l3ac_jax.data.recordings import Cut
    from l3ac_jax.data.shard import ShardPlan, Skipped
    from l3ac_jax.system.targets import TargetFolder

PROGRAM = "prepare_data.py"
# The recipe cuts MTG-Jamendo's tracks to 25 s; the clips of the other corpora are short.
PIECE_SECONDS = {"mtg-jamendo": 25.0, "folder": 30.0}


def prepare(
    corpus: Annotated[CorpusName, tyro.conf.Positional],
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")],
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")],
    held_out: float = 0.0,
    piece_seconds: float | None = None,
    min_seconds: float = 0.1,
    silence_db: float = -60.0,
    sample_rate: int = 16000,
    workers: int | None = None,
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    cluster: Annotated[ClusterOptions, tyro.conf.OmitArgPrefixes] = ClusterOptions(),  # noqa: B008
) -> None:
    """Prepare a corpus, and say what was made.

    Args:
        corpus: whose layout SOURCE has
        source: folder with the corpus as it is published
        target: folder to make
        held_out: folder only: share of the files, by whole folders, for validation
        piece_seconds: longer recordings are cut into pieces; by default 25 for mtg-jamendo, 30 for
            folder, and not at all for the others
        min_seconds: shorter clips are skipped
        silence_db: clips whose peak stays below this, relative to full scale, are skipped
        sample_rate: of the clips, in Hz
        workers: processes of this machine; by default one for each core
        overwrite: begin anew in a TARGET that was begun with other input
        cluster: several machines, which come to the same bytes as one (see docs/cluster.md)
    """
    # Only here: they need packages of the extra `train`.
    from l3ac_jax.audio.endings import AUDIO_ENDINGS, left_alone
    from l3ac_jax.data.dataset import SKIPPED_FILE
    from l3ac_jax.data.prepare import plan_preparation
    from l3ac_jax.data.recordings import Cut
    from l3ac_jax.data.shard import USED_IN_PART
    from l3ac_jax.system.sources import open_tree

    if piece_seconds is None:
        piece_seconds = PIECE_SECONDS.get(corpus)
    cut = Cut(sample_rate, min_seconds, 10 ** (silence_db / 20), piece_seconds)
    _check(cut, workers)
    share = cluster.share()
    if overwrite and (share or cluster.merge):
        raise ArgumentError("--overwrite is not for --shard and --merge: remove TARGET before them")
    with _reporting() as report:
        plan = plan_preparation(corpus, source, target, cut, held_out)
        if share is not None:
            made = plan.make_share(share, workers, report)
            already = f", and {made.already} were there" if made.already else ""
            print(
                f"{target}: share {share}: made {made.made} of {made.shards} shards{already}, "
                f"{made.skipped} clips skipped or used in part; when all shares are made: --merge"
            )
            return
        if cluster.merge:
            info, skipped = plan.merge()
        elif cluster.ray is not None:
            info, skipped = _make_on_cluster(plan, cluster.ray, report, overwrite)
        else:
            info, skipped = plan.make(workers, report, overwrite)
    _summarize(info, target)
    reasons = Counter(skip.reason.partition(":")[0] for skip in skipped)
    if count := reasons.pop(USED_IN_PART, 0):
        print(f"{count} used in part, since they are not whole: listed in {target}/{SKIPPED_FILE}")
    if reasons:
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        print(f"{reasons.total()} skipped, listed in {target}/{SKIPPED_FILE}: {counts}")
    if corpus == "folder":
        for line in left_alone(open_tree(source).find(AUDIO_ENDINGS).found.others):
            print(line)


def _check(cut: Cut, workers: int | None) -> None:
    wrong = [
        # FLAC's limit.
        (not 1 <= cut.sample_rate <= 655_350, "--sample-rate must be between 1 and 655350"),
        (cut.min_seconds < 0, "--min-seconds must be at least 0"),
        (cut.silence > 1, "--silence-db must be at most 0"),
        (
            cut.piece_seconds is not None and cut.piece_seconds <= cut.min_seconds,
            "--piece-seconds must be more than --min-seconds",
        ),
        (workers is not None and workers < 1, "--workers must be at least 1"),
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise ArgumentError(message)


def _make_on_cluster(
    plan: Preparation, address: str, report: Report, overwrite: bool
) -> tuple[DatasetInfo, list[Skipped]]:
    """Workers make the shards, each on one core."""
    from l3ac_jax.data.pool import PreparationProgress
    from l3ac_jax.data.shard import shard_maker
    from l3ac_jax.system.cluster import on_cluster

    def make(
        target: TargetFolder, shards: Sequence[ShardPlan], missing: Sequence[ShardPlan]
    ) -> None:
        total = sum(shard.bytes for shard in shards)
        already = done = total - sum(shard.bytes for shard in missing)
        made = len(shards) - len(missing)
        tell = every_minute(lambda: f"{made} of {len(shards)} shards")
        start = partial(shard_maker, target.absolute(), plan.cut)
        for shard, _ in on_cluster(address, start, missing, gpus=False, note=note):
            done, made = done + shard.bytes, made + 1
            report(PreparationProgress(done, total, made, len(shards), already))
            tell()

    return plan.make(overwrite=overwrite, others=make)


@contextmanager
def _reporting() -> Iterator[Report]:
    """A bar, and what moves it."""
    console = Console(stderr=True)
    with _progress(console) as progress:
        task = progress.add_task("looking for files", total=None)

        def report(now: PreparationProgress) -> None:
            shards = f"{now.shards_done}/{now.shards} shards"
            if not progress.tasks[0].total:  # what earlier runs did says nothing about the speed
                progress.reset(task, total=now.total - now.already, description=shards)
            progress.update(task, completed=now.done - now.already, description=shards)

        yield report


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _summarize(info: DatasetInfo, target: str) -> None:
    table = Table("split", "clips", "hours", "shards", "MB", title=f"{info.corpus} in {target}")
    for name, split in info.splits.items():
        size = sum(shard.bytes for shard in split.shards)
        table.add_row(
            name,
            f"{split.clips}",
            f"{split.seconds / 3600:.2f}",
            f"{len(split.shards)}",
            f"{size / 1e6:.1f}",
        )
    print_table(table)


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, 2 for mistakes and full disks, 130 when interrupted."""
    return run_command(
        PROGRAM,
        lambda: tyro.cli(prepare, prog=PROGRAM, description=__doc__, args=argv),
        interrupted="the same command goes on",
    )


if __name__ == "__main__":
    sys.exit(main())
