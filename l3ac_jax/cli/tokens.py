"""The command `l3ac-jax tokens`: the tokens of a folder of audio, for trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from l3ac_jax.audio.endings import AUDIO_ENDINGS, left_alone
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
from l3ac_jax.errors import TokenDatasetError
from l3ac_jax.tokens.dataset.encoding import SHARD_TOKENS, DatasetPlan, plan_dataset
from l3ac_jax.tokens.dataset.index import Index, read_index
from l3ac_jax.tokens.dataset.writer import FAILURES_FILE

__all__ = ["tokens"]

Source = Annotated[Path, tyro.conf.arg(metavar="DIR")]
Target = Annotated[Path, tyro.conf.arg(metavar="OUT")]
Levels = Annotated[bool, tyro.conf.FlagCreatePairsOff]
ShardTokens = Annotated[int, tyro.conf.arg(metavar="N")]


def tokens(
    input: Source,
    output: Target,
    /,
    model: Model = DEFAULT_MODEL,
    levels: Levels = False,
    shard_tokens: ShardTokens = SHARD_TOKENS,
    overwrite: Overwrite = False,
    device: Device = DEFAULT_DEVICE,
) -> int:
    """Write the tokens of a folder of audio as a dataset for language models.

    OUT gets Arrow files, which Hugging Face datasets and l3ac_jax.open_tokens map into memory: a
    row for each channel of each recording, in the order of paths. Run again after it was stopped,
    the command goes on behind the last complete file; when all is there, it does nothing. What
    cannot be read, or is not whole, is listed in OUT/failures.tsv, and the exit code is then 1.

    Args:
        input: Folder of audio files, with all folders below it.
        output: Folder to write: a new one, or one to go on with.
        model: Name (see `l3ac-jax models`), hf://OWNER/NAME, or model folder or file.
        levels: Write the levels of the quantizer's dimensions, a few small numbers for each token.
        shard_tokens: Tokens in one Arrow file, at most; a longer recording has one of its own.
        overwrite: Write a dataset anew that is there already.
        device: How a GPU is used.
    """
    form = "levels" if levels else "tokens"
    plan = plan_dataset(input, output, AUDIO_ENDINGS, form, shard_tokens, overwrite)
    for loop in plan.found.loops:
        note(f"{loop}: left out: it is a link to a folder that it is in")
    try:
        index = _write(plan, model, device)
    except KeyboardInterrupt:
        raise Interrupted(_state(output, overwrite)) from None
    note(f"{output}: {'was complete already: ' if plan.complete else ''}{_summary(index, model)}")
    for line in left_alone(plan.found.others):
        note(line)
    if not index.failures:
        return 0
    count = _count(index.failures, "file")
    note(f"l3ac-jax: {count} failed or not whole: see {output / FAILURES_FILE}")
    return FAILED


def _write(plan: DatasetPlan, model: str, device: DeviceOptions) -> Index:
    with loaded(model, device) as codec, _progress() as progress:
        from l3ac_jax.codec.many.batches import encode_files

        task = progress.add_task("", total=len(plan.files))
        return plan.write(
            codec.name,
            codec.token_format,
            lambda paths, on_damage: encode_files(codec, paths, on_damage),
            lambda done: progress.update(task, completed=done),
        )


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("files"), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _state(output: Path, overwrite: bool) -> str:
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
