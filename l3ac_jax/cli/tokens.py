"""The command `l3ac-jax tokens`: the tokens of a folder of audio, for trainers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from l3ac_jax.audio.endings import AUDIO_ENDINGS, left_alone
from l3ac_jax.cli.cluster import ClusterOptions, every_minute
from l3ac_jax.cli.command import (
    DEFAULT_DEVICE,
    Device,
    DeviceOptions,
    Model,
    Overwrite,
    loaded,
    note,
)
from l3ac_jax.cli.run import FAILED, Interrupted
from l3ac_jax.config import DEFAULT_MODEL
from l3ac_jax.errors import ArgumentError, TokenDatasetError
from l3ac_jax.system.shares import Share
from l3ac_jax.system.targets import TargetFolder
from l3ac_jax.tokens.dataset.encoding import SHARD_TOKENS, DatasetPlan, plan_dataset
from l3ac_jax.tokens.dataset.index import Index, read_index
from l3ac_jax.tokens.dataset.parts import Part, PartWork
from l3ac_jax.tokens.dataset.writer import FAILURES_FILE

__all__ = ["tokens"]

Source = Annotated[str, tyro.conf.arg(metavar="DIR")]
Target = Annotated[str, tyro.conf.arg(metavar="OUT")]
Levels = Annotated[bool, tyro.conf.FlagCreatePairsOff]
ShardTokens = Annotated[int, tyro.conf.arg(metavar="N")]


@dataclass(frozen=True)
class TokenCluster(ClusterOptions):
    """Several machines (see docs/cluster.md): to the same bytes as one."""

    worker_cores: Annotated[int, tyro.conf.arg(metavar="N")] = 2
    """Cores of each worker of --ray, where there is no GPU; with GPUs, each worker has one."""


Cluster = Annotated[TokenCluster, tyro.conf.OmitArgPrefixes]
ALONE = TokenCluster()


def tokens(
    input: Source,
    output: Target,
    /,
    model: Model = DEFAULT_MODEL,
    levels: Levels = False,
    shard_tokens: ShardTokens = SHARD_TOKENS,
    overwrite: Overwrite = False,
    cluster: Cluster = ALONE,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Write the tokens of a folder of audio as a dataset for language models.

    OUT gets Arrow files, which Hugging Face datasets and l3ac_jax.open_tokens map into memory: a
    row for each channel of each recording, in the order of paths. Run again after it was stopped,
    the command goes on behind the last complete file; when all is there, it does nothing. What
    cannot be read, or is not whole, is listed in OUT/failures.tsv, and the exit code is then 1.

    Several machines come to the same bytes: N calls with --shard I/N and one with --merge, or one
    with --ray. DIR and OUT can be URLs that fsspec knows (s3://BUCKET/..., gs://...).

    Args:
        input: Folder of audio files, with all folders below it.
        output: Folder to write: a new one, or one to go on with.
        model: Name (see `l3ac-jax models`), hf://OWNER/NAME, or model folder or file.
        levels: Write the levels of the quantizer's dimensions, a few small numbers for each token.
        shard_tokens: Tokens in one Arrow file, at most; a longer recording has one of its own.
        overwrite: Write a dataset anew that is there already.
        cluster: Several machines, which come to the same bytes as one (see docs/cluster.md).
        device: How a GPU is used.
    """
    share = cluster.share()
    if cluster.worker_cores < 1:
        raise ArgumentError("--worker-cores must be at least 1")
    if overwrite and (share or cluster.merge):
        raise ArgumentError("--overwrite is not for --shard and --merge: remove OUT before them")
    form = "levels" if levels else "tokens"
    plan = plan_dataset(input, output, AUDIO_ENDINGS, form, shard_tokens, overwrite)
    for loop in plan.found.loops:
        note(f"{loop}: left out: it is a link to a folder that it is in")
    if share is not None:
        return _make_share(plan, share, model, device)
    try:
        index = _merge(plan) if cluster.merge else _write(plan, model, device, cluster)
    except KeyboardInterrupt:
        raise Interrupted(_state(plan.target, overwrite)) from None
    used = index.model if cluster.merge else model
    note(f"{output}: {'was complete already: ' if plan.complete else ''}{_summary(index, used)}")
    for line in left_alone(plan.found.others):
        note(line)
    if not index.failures:
        return 0
    count = _count(index.failures, "file")
    note(f"l3ac-jax: {count} failed or not whole: see {plan.target}/{FAILURES_FILE}")
    return FAILED


def _write(plan: DatasetPlan, model: str, device: DeviceOptions, cluster: TokenCluster) -> Index:
    with loaded(model, device) as codec, _progress(len(plan.files)) as report:
        from l3ac_jax.codec.many.batches import encode_files

        if cluster.ray is None:
            encode = partial(encode_files, codec)
            return plan.write(codec.name, codec.token_format, encode, report)
        others = partial(_make_on_cluster, len(plan.files), report, model, device, cluster)
        return plan.write(codec.name, codec.token_format, None, report, others)


def _make_on_cluster(
    files: int,
    report: Callable[[int], None],
    model: str,
    device: DeviceOptions,
    cluster: TokenCluster,
    work: PartWork,
    parts: Sequence[Part],
) -> None:
    from l3ac_jax.codec.many.parts import part_maker
    from l3ac_jax.system.cluster import on_cluster

    if Path(model).exists():
        model = str(Path(model).absolute())  # workers run in folders of their own
    start = partial(part_maker, work.absolute(), model, device.precision, device.gpu_memory)
    done = files - sum(len(part.files) for part in parts)
    failures = 0
    tell = every_minute(lambda: f"{done} of {files} files, {failures} failed or not whole")
    report(done)
    for part, failed in on_cluster(str(cluster.ray), start, parts, cluster.worker_cores, note):
        done, failures = done + len(part.files), failures + failed
        report(done)
        tell()


def _make_share(plan: DatasetPlan, share: Share, model: str, device: DeviceOptions) -> int:
    """Returns 0 also where files failed: that is told when the whole dataset is there."""
    try:
        with loaded(model, device) as codec, _progress(plan.files_of(share)) as report:
            from l3ac_jax.codec.many.batches import encode_files

            encode = partial(encode_files, codec)
            made = plan.make_share(share, codec.name, codec.token_format, encode, report)
    except KeyboardInterrupt:
        raise Interrupted("the same command goes on behind the parts that are made") from None
    there = f", and {made.already} were there" if made.already else ""
    failed = f"; {_count(made.failures, 'file')} failed or not whole" if made.failures else ""
    note(
        f"{plan.target}: share {share}: made {made.made} of {_count(made.parts, 'part')}"
        f"{there}{failed}; when all shares are made: --merge"
    )
    return 0


def _merge(plan: DatasetPlan) -> Index:
    with _progress(len(plan.files)) as report:
        return plan.merge(report)


@contextmanager
def _progress(files: int) -> Iterator[Callable[[int], None]]:
    """A bar, and what tells it how many files are done."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("files"), TimeRemainingColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=files)
        yield lambda done: progress.update(task, completed=done)


def _state(output: TargetFolder, overwrite: bool) -> str:
    try:
        index = read_index(output)
    except TokenDatasetError:
        return "nothing was written"
    return (
        f"{_count(index.recordings, 'recording')} in {_count(len(index.shards), 'complete shard')}:"
        f" the same command{' without --overwrite' if overwrite else ''} goes on behind them"
    )


def _summary(index: Index, model: str) -> str:
    return (
        f"{_count(index.frames, 'token')}{' as levels' if index.form == 'levels' else ''} of "
        f"{_count(index.recordings, 'recording')}, {_count(index.rows, 'row')} in "
        f"{_count(len(index.shards), 'shard')}, with {model}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
