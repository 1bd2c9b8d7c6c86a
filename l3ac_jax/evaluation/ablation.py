"""Ablations: variants of a configuration, trained under one budget from the same seeds.

    OUT/VARIANT/seed-S/experiment.toml    the configuration, every field written out
    OUT/VARIANT/seed-S/beginning.json     the options of train.py that say what it begins with
    OUT/VARIANT/seed-S/training/          the training run
    OUT/VARIANT/seed-S/training.log       what it said
    OUT/VARIANT/seed-S/evaluation/        its evaluation: evaluation.json and what evaluate.py keeps

Variants of the same configuration share their runs, under the first one's name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from l3ac_jax.config import ExperimentConfig, differences, dump_config, load_config
from l3ac_jax.errors import ConfigError, ReportError
from l3ac_jax.evaluation.clips import EvaluationClip
from l3ac_jax.evaluation.report import REPORT_FILE, Report, read_report
from l3ac_jax.system.files import complete_file

if TYPE_CHECKING:
    from l3ac_jax.evaluation.evaluate import ReportProgress, Settings

__all__ = ["AblationRun", "Variant", "begin", "evaluate_run", "plan_runs", "read_variants"]

EXPERIMENT_FILE = "experiment.toml"
BEGINNING_FILE = "beginning.json"


@dataclass(frozen=True)
class Variant:
    """One row of an ablation: the name of its file without the ending, and what that says."""

    name: str
    config: ExperimentConfig


@dataclass(frozen=True)
class AblationRun:
    """One training, of one seed. `variants` are the names of those that it counts for.

    `beginning` has the options of train.py that say what it begins with: none for random
    parameters.
    """

    variants: tuple[str, ...]
    seed: int
    config: ExperimentConfig
    folder: Path
    beginning: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{self.variants[0]}, seed {self.seed}"

    @property
    def steps(self) -> int:
        """Of training, all in all."""
        return _steps(self.config)

    @property
    def experiment(self) -> Path:
        """Its configuration, written out."""
        return self.folder / EXPERIMENT_FILE

    @property
    def training(self) -> Path:
        """The folder of its training run."""
        return self.folder / "training"

    @property
    def log(self) -> Path:
        """What the training said."""
        return self.folder / "training.log"

    @property
    def evaluation(self) -> Path:
        """The folder of its evaluation."""
        return self.folder / "evaluation"

    @property
    def is_trained(self) -> bool:
        """Whether the checkpoint of its last step is there."""
        from l3ac_jax.weights.folder import CHECKPOINTS_FOLDER

        return (self.training / CHECKPOINTS_FOLDER / str(self.steps)).is_dir()


def read_variants(
    paths: Sequence[str | os.PathLike[str]],
    overrides: Sequence[str] = (),
    base: str | os.PathLike[str] | None = None,
    steps: int | None = None,
) -> list[Variant]:
    """The configurations of an ablation, all of them trained for the same number of steps.

    `overrides` and `base` are as in `load_config`, for all of them; `steps` is the budget in steps
    of training, None for what the files say. Raises ConfigError, also for files of the same name,
    files that are not for training, or different budgets.
    """
    variants = [Variant(Path(path).stem, _config(path, overrides, base, steps)) for path in paths]
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name}: two files have this name, which is that of their results")
    budgets = {variant.name: _steps(variant.config) for variant in variants}
    if len(set(budgets.values())) > 1:
        listed = ", ".join(f"{name} {count:,}" for name, count in budgets.items())
        raise ConfigError(f"variants need one budget, but their steps are {listed}: give --steps")
    return variants


def plan_runs(
    variants: Sequence[Variant],
    seeds: Sequence[int],
    out: str | os.PathLike[str],
    beginning: Sequence[str] = (),
) -> list[AblationRun]:
    """Each different configuration from each seed, which is that of parameters and data.

    Raises ConfigError for seeds that are there twice, and for folders that were begun with another
    configuration or another `beginning`.
    """
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must differ: got {', '.join(map(str, seeds))}")
    sharing: dict[ExperimentConfig, tuple[str, ...]] = {}
    for variant in variants:
        sharing[variant.config] = (*sharing.get(variant.config, ()), variant.name)
    runs = [
        AblationRun(
            names, seed, _seeded(config, seed), Path(out, names[0], f"seed-{seed}"), (*beginning,)
        )
        for config, names in sharing.items()
        for seed in seeds
    ]
    for run in runs:
        if run.training.exists():
            _check_same(run)
    return runs


def begin(run: AblationRun) -> None:
    """Write the configuration that training reads. Raises OutputError."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with complete_file(run.experiment, overwrite=True) as part:
        part.write_text(dump_config(run.config), encoding="utf-8")
    with complete_file(run.folder / BEGINNING_FILE, overwrite=True) as part:
        part.write_text(json.dumps(run.beginning) + "\n", encoding="utf-8")


def evaluate_run(
    run: AblationRun,
    clips: Sequence[EvaluationClip],
    data: str,
    settings: Settings,
    progress: ReportProgress,
) -> Report:
    """The evaluation of a trained run: the one that is there, if it has these clips and the scores
    that are asked for, or a new one.

    `data` is what the report calls the clips. Raises what `get_model` and `evaluate` raise.
    """
    names = {clip.name for clip in clips}
    if (run.evaluation / REPORT_FILE).exists():
        report = read_report(run.evaluation)
        same = (report.data, report.seed) == (data, settings.seed)
        wanted = set(settings.extras.names)
        scored = all(wanted <= clip.scores.keys() for clip in report.clips)
        if same and scored and {clip.clip for clip in report.clips} == names:
            return report
    from l3ac_jax.codec.pretrained import get_model
    from l3ac_jax.evaluation.codecs import NeuralCodec
    from l3ac_jax.evaluation.evaluate import evaluate

    codec = NeuralCodec(run.name, get_model(run.training))
    report = evaluate([codec], clips, run.evaluation, data, settings, progress)
    if not report.clips:
        raise ReportError(f"no clip could be evaluated: {report.failures[0]}")
    return report


def _config(
    path: str | os.PathLike[str],
    overrides: Sequence[str],
    base: str | os.PathLike[str] | None,
    steps: int | None,
) -> ExperimentConfig:
    config = load_config(path, overrides, base)
    for table in ("data", "training"):
        if getattr(config, table) is None:
            raise ConfigError(f"{path}: for training, the table [{table}] is needed")
    if steps is None or config.data is None:
        return config
    clips = f"--data.clips-per-epoch={steps * config.data.batch_size}"
    alone = ["--training.epochs=1", "--training.stages=[]"]
    return load_config(path, [*overrides, *alone, clips], base)


def _steps(config: ExperimentConfig) -> int:
    return config.stages[-1].end


def _seeded(config: ExperimentConfig, seed: int) -> ExperimentConfig:
    assert config.training is not None and config.data is not None
    return config.model_copy(
        update={
            "training": config.training.model_copy(update={"seed": seed}),
            "data": config.data.model_copy(update={"seed": seed}),
        }
    )


def _check_same(run: AblationRun) -> None:
    changed = differences(load_config(run.experiment), run.config)
    begun = (
        run.folder / BEGINNING_FILE
    )  # not there in folders of versions that had random ones only
    before = json.loads(begun.read_text(encoding="utf-8")) if begun.exists() else []
    if before != list(run.beginning):
        changed = [*changed, f"it began with {_words(before)}, is to with {_words(run.beginning)}"]
    if changed:
        raise ConfigError(
            f"{run.folder}: was begun with another configuration: {'; '.join(changed)}; give "
            "another --out, or remove the folder"
        )


def _words(beginning: Sequence[str]) -> str:
    return " ".join(beginning) or "random parameters"
