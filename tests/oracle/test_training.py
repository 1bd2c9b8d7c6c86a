"""The training in PyTorch that ours is compared with: what it promises besides being right."""

import importlib
import sys

import numpy as np
import pytest

from l3ac_jax.config.training import TrainingConfig
from l3ac_jax.oracle.codec import seeded_codec
from l3ac_jax.oracle.training import OfficialTraining, official_params
from tests.quick import rms, speech
from tests.training.test_discriminators import SMALL
from tests.training.test_step import NOISELESS


def training(loss: dict) -> TrainingConfig:
    # Without the STFT term, in whose gradient the last bits of almost empty bins are loud.
    return TrainingConfig.model_validate(
        {"loss": {"perceptual": 0.0, "stft": 0.0, **loss}, "discriminator": {"every": 1, **SMALL}}
    )


def run(**arguments) -> tuple[OfficialTraining, list[float]]:
    codec = seeded_codec(NOISELESS, dtype=np.float64)
    reference = OfficialTraining(codec, training({}), 100, **arguments)
    losses = []
    for step in range(3):
        audio = speech(1500, 6000 + 1500 * step)
        losses += [float(reference.discriminator_step(audio)["loss"])]
        losses += [float(reference.generator_step(audio)["loss"])]
    return reference, losses


def test_the_tuned_training_is_the_same():
    (plain, plain_losses), (tuned, losses) = run(), run(tuned=True)
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-9)
    start = official_params(seeded_codec(NOISELESS, dtype=np.float64))
    params, others = official_params(plain.codec), official_params(tuned.codec)
    # Adam moves a parameter without effect by the sign of what its gradient is rounded to.
    moved, apart = (
        rms(np.concatenate([(end[path] - params[path]).ravel() for path in params]))
        for end in (start, others)
    )
    assert apart < 1e-2 * moved


def test_the_generator_step_leaves_the_discriminators_alone():
    reference, _ = run()
    discriminators = reference.discriminators
    assert discriminators is not None
    discriminators.zero_grad()
    before = {name: value.clone() for name, value in discriminators.state_dict().items()}
    reference.generator_step(speech(1500))
    assert all(p.grad is None and p.requires_grad for p in discriminators.parameters())
    assert all((value == before[name]).all() for name, value in discriminators.state_dict().items())


def test_a_seed_means_one_set_of_discriminators():
    states = [
        OfficialTraining(seeded_codec(NOISELESS), training({}), 1, seed=seed).discriminators
        for seed in (3, 3, 4)
    ]
    one, same, other = (next(iter(state.parameters())) for state in states)
    assert (one == same).all() and not (one == other).all()


def test_whispers_weights_are_asked_for():
    with pytest.raises(ValueError, match="needs Whisper's weights"):
        OfficialTraining(seeded_codec(NOISELESS), training({"perceptual": 1.0}), 1)


@pytest.mark.parametrize("name", ["discriminators", "losses", "training"])
def test_without_torch_the_error_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "l3ac.en_codec", None)
    monkeypatch.delitem(sys.modules, f"l3ac_jax.oracle.{name}", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'l3ac-jax\[torch\]'"):
        importlib.import_module(f"l3ac_jax.oracle.{name}")
