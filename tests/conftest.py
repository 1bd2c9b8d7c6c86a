"""Settings of every test: strict shapes, and annotations that are checked while the tests run."""

from pathlib import Path
from threading import Thread

import huggingface_hub.constants as hub_constants
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import install_import_hook

from tests.hub_server import Hub, use_endpoint

jax.config.update("jax_numpy_rank_promotion", "raise")

# Annotated shapes inside the network are checked at every call. The public interface around it
# checks its arguments itself, and the tests hold it to its own errors.
install_import_hook("l3ac_jax.model", "beartype.beartype")


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine, which huggingface_hub takes for the real one."""
    with Hub() as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        use_endpoint(monkeypatch, server.endpoint)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A model folder with a small codec, hop length 6, random weights."""
    from l3ac_jax.checkpoint import save_model
    from l3ac_jax.config import ExperimentConfig
    from l3ac_jax.model.network import Network
    from tests.small_configs import SMALL_CONFIGS

    config = SMALL_CONFIGS["baseline"]
    audio = jnp.zeros((1, config.hop_length))
    shapes = jax.eval_shape(Network(config).init, jax.random.key(0), audio)["params"]
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: random.normal(0, 0.3, leaf.shape).astype("f4"), shapes)
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(folder, ExperimentConfig(model=config), params)
    return folder
