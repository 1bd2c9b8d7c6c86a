"""Training: the loop around the step.

The device never waits for the host: while it computes a step, the next batch is made and the
metrics of the step before are fetched.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from l3ac_jax.config import ExperimentConfig
from l3ac_jax.errors import LoaderError, ScoreError, TrainingDivergedError
from l3ac_jax.system.compilation import product_options
from l3ac_jax.training.beginnings import Beginning
from l3ac_jax.training.run import TrainingRun, open_run
from l3ac_jax.training.step import Steps
from l3ac_jax.training.stop import StopRequest

__all__ = ["TrainingOutcome", "train"]


@dataclass(frozen=True)
class TrainingOutcome:
    """Where a call of `train` left a run."""

    step: int
    total: int
    exit_code: int
    """0, or 128 + the number of the signal that ended it before its time"""


def train(
    config: ExperimentConfig,
    folder: str | os.PathLike[str],
    beginning: Beginning | None = None,
    quiet: bool = False,
    leave_once_compiled: Callable[[], bool] = lambda: False,
) -> TrainingOutcome:
    """Train from where a folder left off to the end, or until Ctrl-C or SIGTERM.

    A new run has random parameters, or those of `beginning`. With `jax.distributed`, every process
    calls this with the same arguments.

    `leave_once_compiled` is asked once, when the programs of the steps have all run. Where it says
    yes, that of the evaluation is compiled as well, and training saves and leaves.

    Raises, before anything is trained: ConfigError (also for a folder that was begun with another
    model, or for a batch that cannot be divided), DatasetError (also for data that changed),
    WeightsError or DownloadError. Later: LoaderError or ScoreError for workers that ended, and
    TrainingDivergedError; what is lost then is what came after the last checkpoint.
    """
    with StopRequest() as stop, open_run(config, Path(folder), beginning, quiet) as run:
        _Training(run, stop, leave_once_compiled).go_on()
        exit_code = stop.exit_code if run.step < run.total else 0
        return TrainingOutcome(run.step, run.total, exit_code)


class _Training:
    def __init__(self, run: TrainingRun, stop: StopRequest, should_leave: Callable[[], bool]):
        self.run, self.stop, self.should_leave = run, stop, should_leave
        # Then all programs of the steps were needed.
        self.compiled_at = run.step + (run.training.discriminator.every if run.judged else 1)
        self.leaves = False
        self.functions: dict[Steps, tuple[Callable, Callable]] = {}
        self.late: tuple[int, dict[str, jax.Array]] | None = None
        self.saved = run.step

    def go_on(self) -> None:
        run = self.run
        while run.step < run.total and not self._should_stop() and not self.leaves:
            try:
                if run.step == run.program.stage.end:
                    run.enter_stage()
                batch = run.devices.divide(next(run.loader))
                self._take(batch)
                last_of_stage = run.step == run.program.stage.end
                if run.step % run.evaluate_every == 0 or last_of_stage:
                    self._save(self._evaluate())
                elif run.step % run.training.checkpoints.every == 0:
                    self._save()
                if run.step == self.compiled_at:
                    self._consider_leaving()
            except (LoaderError, ScoreError):
                # A signal to all processes of a job also ends the workers.
                if not self.stop.made:
                    raise
        self._fetch()
        if run.step > self.saved:
            self._save()
        run.checkpoints.wait()
        if run.step < run.total and self.stop.signal is not None:
            run.note(f"{self.stop.signal.name}: saved at step {run.step}; the same command goes on")

    def _take(self, batch: dict) -> None:
        """Set one step going, and look at the one before."""
        run = self.run
        generator, discriminators = self._compiled()
        metrics: dict[str, jax.Array] = {}
        if run.trains_discriminators:
            run.state, metrics = discriminators(run.state, batch, run.hyperparameters)
        run.state, of_generator = generator(
            run.state, batch, run.whisper, run.hyperparameters, run.teacher
        )
        run.step += 1
        before, self.late = self.late, (run.step, metrics | of_generator)
        self._look_at(before)

    def _compiled(self) -> tuple[Callable, Callable]:
        """Of the present stage; stages that compute the same have the same programs."""
        steps = self.run.steps
        if steps not in self.functions:
            generator, discriminators = (
                jax.jit(function, donate_argnums=0, compiler_options=product_options())
                for function in (steps.train_generator, steps.train_discriminators)
            )
            self.functions[steps] = generator, discriminators
        return self.functions[steps]

    def _fetch(self) -> None:
        """Wait for the step under way."""
        before, self.late = self.late, None
        self._look_at(before)

    def _look_at(self, late: tuple[int, dict[str, jax.Array]] | None) -> None:
        if late is None:
            return
        run, step = self.run, late[0]
        values = {name: float(value) for name, value in jax.device_get(late[1]).items()}
        if run.progress is not None:
            run.progress.update(step, values)
        in_row = values["skipped_in_row"]
        if in_row or step % run.training.log_every == 0 or step == run.total:
            run.log.scalars(step, "train", values)
        if in_row >= run.training.max_skipped:
            raise TrainingDivergedError(_diverged(run, step, values))

    def _should_stop(self) -> bool:
        """Whether all processes stop here: they ask each other now and then, as it costs a wait."""
        if jax.process_count() == 1:
            return self.stop.made
        if self.run.step % self.run.training.log_every:
            return False
        return bool(multihost_utils.process_allgather(np.array(self.stop.made)).any())

    def _consider_leaving(self) -> None:
        run = self.run
        if run.step == run.total or self.stop.made or not self.should_leave():
            return
        self._fetch()
        if run.evaluator is not None:
            run.evaluator.compile(run.model_params, run.whisper, run.judging_weights)
        self.leaves = True

    def _evaluate(self) -> dict[str, float] | None:
        run = self.run
        if run.evaluator is None:
            return None
        self._fetch()
        arguments = (run.model_params, run.whisper, run.judging_weights)
        if run.progress is None:
            result = run.evaluator(*arguments)
        else:
            with run.progress.pause():
                result = run.evaluator(*arguments)
        scores = _from_first_process(result.scores)
        run.log.scalars(run.step, "evaluation", scores)
        rate = run.config.model.sample_rate
        for example in result.examples:
            if not run.reference_logged:
                run.log.audio(run.step, f"{example.name}/reference", example.reference, rate)
            run.log.audio(run.step, f"{example.name}/decoded", example.decoded, rate)
            run.log.spectrograms(run.step, example.name, example.reference, example.decoded, rate)
        run.reference_logged = True
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        run.note(f"step {run.step}: {shown}")
        return scores

    def _save(self, scores: dict[str, float] | None = None) -> None:
        run = self.run
        run.checkpoints.save(run.state, run.step, run.loader.state(), run.config, scores)
        self.saved = run.step


def _from_first_process(scores: dict[str, float]) -> dict[str, float]:
    """The scores of process 0, which alone has all of them."""
    if jax.process_count() == 1:
        return scores
    values = multihost_utils.broadcast_one_to_all(np.array(list(scores.values())))
    return dict(zip(scores, map(float, values), strict=True))


def _diverged(run: TrainingRun, step: int, values: dict[str, float]) -> str:
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    latest = run.checkpoints.latest
    kept = (
        "there is no checkpoint" if latest is None else f"the checkpoint of step {latest} is kept"
    )
    return (
        f"{run.folder}: step {step}: not finite, like the steps before it, "
        f"{run.training.max_skipped} in a row ({', '.join(wrong)}), and training cannot go on; "
        f"{kept}. Try a lower training.optimizer.peak_rate, or look at the data"
    )
