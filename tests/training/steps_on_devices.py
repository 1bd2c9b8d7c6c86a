"""Some steps on all devices of one process or of several; the result goes into the file named.

Every process knows the whole batch and puts its own part on its devices.
"""

import os
import sys

import jax
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from l3ac_jax.data.clip import Clip, ClipInfo
from l3ac_jax.training.devices import all_devices, connect_processes
from l3ac_jax.training.hyperparameters import make_hyperparameters
from l3ac_jax.training.step import make_steps
from l3ac_jax.training.validation import Evaluator
from tests.training.small_run import small_experiment

CLIPS, SAMPLES, STEPS = 8, 1500, 4


def batch(step: int) -> dict[str, np.ndarray]:
    """Clips of different lengths, one of them empty."""
    from tests.quick import speech  # which looks for devices

    audio = np.concatenate([speech(SAMPLES, 9000 * clip + 2000 * step) for clip in range(CLIPS)])
    audio += np.random.default_rng(step).normal(0, 0.02, audio.shape).astype(np.float32)
    lengths = np.array([1500, 900, 1500, 1200, 0, 1500, 1400, 1500], np.int32)
    return {"audio": audio, "lengths": lengths}


def main(target: str) -> None:
    """Two micro-batches, an average, noise, and discriminators in every third step."""
    if "JAX_NUM_PROCESSES" in os.environ:
        connect_processes()
    devices = all_devices()
    config = small_experiment("unused", micro_batches=2, evaluation={"batch_size": 3})
    training = config.training
    steps = make_steps(config.model, training)
    values = make_hyperparameters(config.model, training, 100)
    values = jax.device_put(values, devices.replicated)
    init = jax.jit(steps.init, out_shardings=devices.replicated)
    state = init(jax.random.key(0), values)
    train_generator = jax.jit(steps.train_generator, donate_argnums=0)
    train_discriminators = jax.jit(steps.train_discriminators, donate_argnums=0)
    share = CLIPS // jax.process_count()
    mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    history = []
    start = np.asarray(ravel_pytree(jax.device_get(state.params))[0])
    gradient = None
    for step in range(STEPS):
        part = devices.divide({name: value[mine] for name, value in batch(step).items()})
        if step % training.discriminator.every == 0:
            state, metrics = train_discriminators(state, part, values)
            history.append(float(metrics["discriminator_loss"]))
        state, metrics = train_generator(state, part, None, values)
        history.append(float(metrics["loss"]))
        if gradient is None:  # Adam's first moment after one step is a twentieth of it
            gradient = np.asarray(optax.tree.get(state.optimizer, "mu")) * 20
    clips = [
        Clip(ClipInfo("id", "source", None, 16000, 1500 - 100 * i, 1.0), audio[: 1500 - 100 * i])
        for i, audio in enumerate(batch(0)["audio"][:5])
    ]
    with Evaluator(steps.objective, clips, devices, training.evaluation) as evaluator:
        scores = evaluator(state.average, None, values.loss).scores
    kept = {name: value for name, value in scores.items() if name not in ("stoi", "pesq")}
    trees = (state.params, state.average, state.discriminators)
    params, average, judges = (np.asarray(ravel_pytree(jax.device_get(x))[0]) for x in trees)
    np.savez(
        target,
        devices=devices.count,
        history=np.array(history),
        scores=np.array(list(kept.values())),
        start=start,
        gradient=gradient,
        params=params,
        average=average,
        judges=judges,
    )


if __name__ == "__main__":
    main(sys.argv[1])
