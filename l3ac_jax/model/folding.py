"""Parameters multiplied out: what is the same for all frames is computed once, not for each.

Weight norm becomes plain kernels; the affine parts of norms and of the published GRN go into the
linear layer that follows them; the MLP of the position bias becomes its table.
`Network(config, folded=True)` takes the result and computes the same function.
"""

import jax
import numpy as np

from l3ac_jax.config import CodecConfig


def fold(params: dict, config: CodecConfig) -> dict:
    """Parameters for inference (float32 NumPy arrays) of training parameters.

    On the host, in float64: compiling these thousand small operations would take longer than
    loading a model.
    """
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), folded_params(params, config))


def folded_params(params: dict, config: CodecConfig) -> dict:
    """Folded parameters, by the library of the arrays (NumPy or JAX) and in their type."""
    return {
        "encoder": _fold_tree(params["encoder"], config),
        "encoder_transformer": _fold_transformers(params["encoder_transformer"], config),
        "quantizer": params.get("quantizer", {}),
        "decoder_transformer": _fold_transformers(params["decoder_transformer"], config),
        "decoder": _fold_tree(params["decoder"], config),
    }


def _fold_tree(tree: dict, config: CodecConfig) -> dict:
    """Folds every weight norm, ConvUnit and EnhanceBlock in `tree`."""
    if "kernel" in tree:
        return _fold_weight_norm(tree)
    folded = {
        name: _fold_tree(value, config) if isinstance(value, dict) else value
        for name, value in tree.items()
    }
    if "grn" in folded:
        if config.grn == "published":
            grn = folded.pop("grn")
            folded["project"] = _absorb(folded["project"], 1 + grn["gamma"], grn["beta"])
        if "norm" in folded:
            folded["expand"] = _absorb(folded["expand"], **folded.pop("norm"))
    elif "merge" in folded and "norm" in folded:
        folded["merge"] = _absorb(folded["merge"], **folded.pop("norm"))
    return folded


def _fold_weight_norm(layer: dict) -> dict:
    if "scale" not in layer:
        return dict(layer)
    kernel = layer["kernel"]
    norm = (kernel**2).sum(axis=tuple(range(kernel.ndim - 1))) ** 0.5
    scale = (layer["scale"] / norm)[(None,) * (kernel.ndim - 1)]
    return {"kernel": kernel * scale, "bias": layer["bias"]}


def _absorb(layer: dict, scale, bias) -> dict:
    """The linear layer that computes layer(x · scale + bias)."""
    kernel = layer["kernel"]
    return {"kernel": scale[:, None] * kernel, "bias": bias @ kernel + layer.get("bias", 0)}


def _fold_transformers(tree: dict, config: CodecConfig) -> dict:
    options = config.transformer
    folded = {}
    for name, branch in tree.items():
        if name == "down":
            folded[name] = _fold_weight_norm(branch)
            continue
        window = options.window_size * (options.compress_rate if name == "long" else 1)
        folded[name] = {
            part: _fold_position_bias(value, window, config)
            if part == "position_bias"
            else _fold_transformer_layer(value)
            for part, value in branch.items()
        }
    return folded


def _fold_position_bias(params: dict, window: int, config: CodecConfig) -> dict:
    if config.transformer.attention == "full":
        return params
    kernel = params["hidden_0"]["kernel"]
    library = kernel.__array_namespace__()
    x = library.arange(2 * window, dtype=kernel.dtype)[:, None]
    for name in ("hidden_0", "hidden_1"):
        x = x @ params[name]["kernel"] + params[name]["bias"][None]
        x = x * (1 + library.tanh(x / 2)) / 2  # SiLU
    return {"table": x @ params["output"]["kernel"] + params["output"]["bias"][None]}


def _fold_transformer_layer(layer: dict) -> dict:
    return {
        "qkv": _absorb(layer["qkv"], **layer["attention_norm"]),
        "out": layer["out"],
        "feed_forward_in": _absorb(layer["feed_forward_in"], **layer["feed_forward_norm"]),
        "feed_forward_out": layer["feed_forward_out"],
    }
