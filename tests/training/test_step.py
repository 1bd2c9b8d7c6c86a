"""Whole steps beside the same steps in PyTorch, and what a step promises."""

from tempfile import TemporaryDirectory

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from l3ac_jax.official import OfficialCodec, seeded_codec
from l3ac_jax.params import flatten
from l3ac_jax.torch_names import official_places
from l3ac_jax.torch_weights import from_torch
from l3ac_jax.training.objective import make_objective
from l3ac_jax.training.step import Steps, TrainState
from l3ac_jax.training_config import TrainingConfig
from tests.model.oracle import QUICK_COMPILE, pair, rms, speech
from tests.small_configs import SMALL_CONFIGS
from tests.training.test_discriminators import SMALL, Oracle
from tests.training.test_discriminators import from_torch as discriminators_from_torch
from tests.training.test_optimizer import torch_optimizer

STEPS = 10
TOTAL = 1000
SAMPLES = 1500
BASELINE = SMALL_CONFIGS["baseline"]
NOISELESS = BASELINE.model_copy(
    update={"quantizer": BASELINE.quantizer.model_copy(update={"noise_rate": 0.0})}
)


# Without the STFT term: the logarithm of all but empty bins makes its float32 gradient wrong by
# half a per cent, in PyTorch too, after which Adam's first steps, whose size depends on none of
# its components, lead anywhere. Its value and gradient have tests of their own.
LOSS = {"stft": 0.0, "perceptual": 0.0}


def training() -> TrainingConfig:
    judges = {"every": 1, **SMALL}
    return TrainingConfig.model_validate({"loss": LOSS, "discriminator": judges})


def batch(step: int, clips: int = 2) -> dict:
    """Speech in noise: pauses give equal tokens and a constant output, whose spectrum is empty but
    for rounding, and there the logarithm is all but arbitrary."""
    audio = [speech(SAMPLES, 6000 + 2000 * (clips * step + clip)) for clip in range(clips)]
    noise = np.random.default_rng(step).normal(0, 0.05, (clips, SAMPLES))
    audio = np.concatenate(audio) + noise.astype(np.float32)
    return {"audio": jnp.asarray(audio), "lengths": jnp.full(clips, SAMPLES)}


def run(steps: Steps, state: TrainState, count: int) -> tuple[TrainState, list[dict]]:
    take = jax.jit(steps.take, static_argnums=3, compiler_options=QUICK_COMPILE)
    history = []
    for step in range(count):
        state, metrics = take(state, batch(step), None, steps.trains_discriminators(step))
        history.append(jax.tree.map(float, metrics))
    return state, history


class Reference:
    """The same training in PyTorch: the official network, its losses and schedules."""

    def __init__(self, config: TrainingConfig, dtype: str):
        self.config = config
        self.codec = seeded_codec(NOISELESS, seed=1, dtype=np.dtype(dtype))
        torch.manual_seed(0)
        self.judges = Oracle(**SMALL).to(getattr(torch, dtype))
        self.optimizer = torch_optimizer(
            config.optimizer, list(self.codec.network.parameters()), TOTAL
        )
        total = -(-TOTAL // config.discriminator.every)
        self.judge_optimizer = torch_optimizer(
            config.discriminator.optimizer, list(self.judges.parameters()), total
        )

    def step(self, number: int) -> dict[str, float]:
        audio = torch.tensor(np.array(batch(number)["audio"])).to(
            next(self.judges.parameters()).dtype
        )
        with torch.no_grad():
            generated = reconstruct(self.codec, audio)
        fake, real = self.judges(generated), self.judges(audio)
        loss = sum((f[-1] ** 2).mean() + ((1 - r[-1]) ** 2).mean() for f, r in pairs(fake, real))
        clip_norm = self.config.discriminator.optimizer.clip_norm
        update(loss, self.judges, *self.judge_optimizer, clip_norm)
        losses = {"discriminator_loss": loss.item()}

        generated = reconstruct(self.codec, audio)
        fake, real = self.judges(generated), self.judges(audio)
        both = sum(((1 - f[-1]) ** 2).mean() for f in fake)
        maps = [two for f, r in pairs(fake, real) for two in pairs(f[:-1], r[:-1])]
        both = both + 2 * sum((a - b.detach()).abs().mean() for a, b in maps)
        both = both / both.detach() * 10 if both > 10 else both
        loss = 100 * (generated - audio).abs().mean() + both
        update(loss, self.codec.network, *self.optimizer, self.config.optimizer.clip_norm)
        return losses | {"loss": loss.item()}

    def params(self) -> dict[str, np.ndarray]:
        state = {
            f"{part}.pt": dict(module.named_parameters())
            for part, module in self.codec.network.trainable_modules.items()
        }
        return {
            path: place.to_ours(state[place.file][place.name].detach().double().numpy()).copy()
            for path, place in official_places(NOISELESS).items()
        }


def pairs(a, b):
    return zip(a, b, strict=True)


def reconstruct(codec: OfficialCodec, audio: torch.Tensor) -> torch.Tensor:
    quantized, *_ = codec.network.quantizer(codec.differentiable_encode(audio))
    return codec.differentiable_decode(quantized)[:, : audio.shape[1]]


def update(loss, module, optimizer, schedule, clip_norm: float) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    optimizer.step()
    schedule.step()


def initial_state(steps: Steps, reference: Reference) -> TrainState:
    with TemporaryDirectory() as folder:
        reference.codec.save_checkpoint(folder)
        params = jax.tree.map(jnp.asarray, from_torch(folder, NOISELESS))
    state = steps.init(jax.random.key(0), params)
    judges = reference.judges.state_dict()
    return state.replace(
        discriminators=discriminators_from_torch(judges, steps.objective.discriminators)
    )


def distance(a: dict, b: dict) -> float:
    """Root mean square over all parameters."""
    return rms(np.concatenate([np.ravel(np.asarray(a[k], np.float64) - b[k]) for k in b]))


def test_ten_adversarial_steps_follow_those_of_pytorch():
    settings = training()
    single, double = (Reference(settings, dtype) for dtype in ("float32", "float64"))
    start = double.params()
    steps = Steps(make_objective(NOISELESS, settings), settings, TOTAL)
    state, history = run(steps, initial_state(steps, single), STEPS)
    expected = [double.step(step) for step in range(STEPS)]
    theirs = [single.step(step) for step in range(STEPS)]

    size = rms(np.concatenate([value.ravel() for value in start.values()]))
    moved = distance(double.params(), start) / size
    ours = distance(flatten(state.params), double.params()) / size
    official = distance(single.params(), double.params()) / size
    print(f"moved by {moved:.1e} of their size; distance from PyTorch in float64: {ours:.1e}, "
          f"of PyTorch in float32 {official:.1e}")  # fmt: skip
    assert moved > 5e-4
    assert ours <= 0.1 * moved
    for metrics, exact, rounded in zip(history, expected, theirs, strict=True):
        for name, value in exact.items():
            print(name, metrics[name], value, rounded[name])
            assert metrics[name] == pytest.approx(value, rel=1e-3)
    assert int(state.step) == STEPS and int(state.skipped) == 0


def test_a_step_that_is_not_finite_changes_nothing_but_the_counts():
    settings = TrainingConfig.model_validate(
        {
            "loss": {**LOSS, "adversarial": 0.0},
            "discriminator": {"every": 5},
            "average_decay": 0.9,
            "micro_batches": 2,
        }
    )
    steps = Steps(make_objective(NOISELESS, settings), settings, TOTAL)
    start = steps.init(jax.random.key(0), pair("baseline").params)
    take = jax.jit(steps.take, static_argnums=3, compiler_options=QUICK_COMPILE)
    good, _ = take(start, batch(0), None, False)
    moved = distance(flatten(good.params), flatten(start.params))
    averaged = distance(flatten(good.average), flatten(start.params))
    assert averaged == pytest.approx(0.1 * moved, rel=1e-2)

    bad = batch(1)
    bad["audio"] = bad["audio"].at[1, 3].set(jnp.nan)
    after, metrics = take(good, bad, None, False)
    assert not np.isfinite(metrics["loss"])
    assert (int(after.step), int(after.skipped), int(after.skipped_in_row)) == (2, 1, 1)
    for field in ("params", "optimizer"):
        jax.tree.map(np.testing.assert_array_equal, getattr(good, field), getattr(after, field))

    again, _ = take(after, batch(2), None, False)
    assert (int(again.skipped), int(again.skipped_in_row)) == (1, 0)
    assert distance(flatten(again.params), flatten(good.params)) > 0
