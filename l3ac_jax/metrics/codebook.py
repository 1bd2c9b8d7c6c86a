"""How the tokens of a codec use its codebook, and what they would take in a file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from l3ac_jax.metrics.speech import CodebookUse
from l3ac_jax.model.levels import tokens_to_levels

__all__ = ["adaptive_bits", "codebook_scores"]

Tokens = Int[np.ndarray, " n"]


def codebook_scores(tokens: Tokens, levels: Sequence[int], frame_rate: float) -> dict[str, float]:
    """`usage` (% of the entries used), `perplexity` (of the entries), `level_usage` (mean over the
    dimensions of the perplexity of their levels, in % of the levels), `entropy_rate` (bit/s).

    N tokens can use N entries at most, so that the first two are small for few clips, whatever the
    codec; the last two need only some hundred tokens. The rate is that of `adaptive_bits`.
    """
    use = CodebookUse(math.prod(levels))
    use.add(tokens)
    shares = []
    for column, count in zip(tokens_to_levels(tokens, levels).T, levels, strict=True):
        dimension = CodebookUse(count)
        dimension.add(column)
        shares.append(dimension.perplexity / count)
    return {
        "usage": 100 * use.usage,
        "perplexity": use.perplexity,
        "level_usage": 100 * float(np.mean(shares)),
        "entropy_rate": adaptive_bits(tokens, levels) / len(tokens) * frame_rate,
    }


def adaptive_bits(tokens: Tokens, levels: Sequence[int]) -> float:
    """Bits of the tokens under an adaptive arithmetic code, which needs no table beside it.

    Each dimension is coded by the frequencies of its levels so far, each with half a count before
    the first token (Krichevsky and Trofimov 1981): what a decoder can follow. An entropy of the
    tokens' own frequencies would promise less than any file takes, where tokens are fewer than
    entries.
    """
    total = 0.0
    for column, count in zip(tokens_to_levels(tokens, levels).T, levels, strict=True):
        counts = np.bincount(column, minlength=count)
        # The product of (n_level + 1/2) / (n + count / 2) over the tokens, whatever their order.
        seen = sum(math.lgamma(n + 0.5) - math.lgamma(0.5) for n in counts)
        among = math.lgamma(len(column) + count / 2) - math.lgamma(count / 2)
        total += (among - seen) / math.log(2)
    return total
