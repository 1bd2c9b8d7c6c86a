"""Tokens as numbers, and levels range coded: known values, costs, and what comes back."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from l3ac_jax.tokens.entropy.coding import (
    HEAD_BYTES,
    MAX_BLOCK,
    MAX_LEVELS,
    ORDER_0,
    ORDER_1,
    PLAIN,
    AdaptiveCoding,
    number_to_tokens,
    plain_bits,
    tokens_to_number,
)
from l3ac_jax.tokens.entropy.range_coder import MAX_TOTAL, RangeDecoder, RangeEncoder

LOW_RATE = (7,) * 6  # 0k75bps to 1k5bps
HIGH_RATE = (9, 9, 9, 7, 7, 7)  # 3kbps


def range_coded(symbols, counts):
    counts, encoder = list(counts), RangeEncoder()
    for symbol in symbols:
        encoder.encode(symbol, counts)
    return encoder.finish()


def range_decoded(data, length, counts):
    counts, decoder = list(counts), RangeDecoder(data)
    return [decoder.decode(counts) for _ in range(length)]


def ideal_bits(symbols, counts):
    """What the symbols cost by the counts, with exact probabilities."""
    counts, probability = list(counts), Fraction(1)
    for symbol in symbols:
        probability *= Fraction(counts[symbol], sum(counts))
        counts[symbol] += 2
    return math.log2(probability.denominator) - math.log2(probability.numerator)


@pytest.mark.parametrize("counts", [[1] * 7, [1, 60000], [60000, 1], [500, 1, 1, 40000]])
def test_range_coding_costs_what_the_counts_say(counts):
    random = np.random.default_rng(0)
    share = np.array(counts) / sum(counts)
    symbols = random.choice(len(counts), 1500, p=share).tolist()
    symbols[700] = int(np.argmin(counts))
    bits = 8 * len(range_coded(symbols, counts))
    # The end takes up to a byte more than its bits, and at most MAX_TOTAL / 2**24 = 1/256 of the
    # interval is lost at a symbol: far less on average, for its width is mostly far above 2**24.
    assert -8 < bits - ideal_bits(symbols, counts) < 8 + 1500 * 0.0005


@given(st.data(), st.lists(st.integers(1, MAX_TOTAL // 8 - 200), min_size=2, max_size=8))
@settings(max_examples=100)
def test_any_symbols_come_back_with_any_counts(data, counts):
    symbols = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=200))
    coded = range_coded(symbols, counts)
    assert range_decoded(coded, len(symbols), counts) == symbols


def test_carries_run_through_bytes_of_255(monkeypatch):
    carried_over = []
    carry = RangeEncoder._carry

    def watched_carry(encoder):
        carried_over.append(encoder._bytes[-1])
        carry(encoder)

    monkeypatch.setattr(RangeEncoder, "_carry", watched_carry)
    symbols = np.random.default_rng(0).integers(0, 7, 20000).tolist()
    coded = range_coded(symbols, [1] * 7)
    assert 0xFF in carried_over
    assert range_decoded(coded, len(symbols), [1] * 7) == symbols


def test_known_bytes_of_range_coding():
    # The first symbol of two equal ones has the lower half: zeros, which need not be written.
    assert range_coded([0], [1, 1]) == b""
    assert range_coded([1], [1, 1]) == b"\x80"
    # Then the counts are 1 and 3, and the second symbol has the upper three quarters: 5/8 to 1.
    assert range_coded([1, 1], [1, 1]) == b"\xc0"
    assert range_coded([1, 0], [1, 1]) == b"\x80"


def test_what_was_never_coded_is_refused():
    # The interval is no multiple of 7: the rest, at its upper end, is no symbol's.
    with pytest.raises(ValueError, match="stand for no symbols"):
        range_decoded(b"\xff" * 100, 100, [1] * 7)


def test_tokens_are_digits_of_a_number_the_first_least_significant():
    assert tokens_to_number(np.array([1, 2, 3]), 10) == 321
    assert number_to_tokens(321, 4, 10).tolist() == [1, 2, 3, 0]
    digits = np.random.default_rng(0).integers(0, 117649, 777)
    expected = sum(int(digit) * 117649**place for place, digit in enumerate(digits))
    assert tokens_to_number(digits, 117649) == expected
    np.testing.assert_array_equal(number_to_tokens(expected, 777, 117649), digits)
    with pytest.raises(ValueError, match="no number of tokens"):
        number_to_tokens(1000, 3, 10)


def test_bits_of_plain_tokens_are_the_nominal_ones_rounded_up():
    assert plain_bits(3, 10) == 10  # 999 < 1024
    assert [plain_bits(count, 2) for count in (1, 8, 9)] == [1, 8, 9]
    assert plain_bits(512, 117649) == math.ceil(512 * math.log2(117649)) == 8625


def tokens_like(kind, levels, count):
    """Tokens of levels that are uniform, mostly in the middle, or close to those before."""
    random, counts = np.random.default_rng(0), np.array(levels)
    shape = (count, len(levels))
    if kind == "uniform":
        chosen = random.integers(0, counts, shape)
    elif kind == "skewed":
        chosen = random.binomial(counts - 1, 0.5, shape)
    else:
        walk = np.cumsum(random.integers(-1, 2, shape), axis=0) % (2 * counts - 2)
        chosen = np.minimum(walk, 2 * counts - 2 - walk)
    return np.ravel_multi_index(tuple(chosen.T), levels, order="F")


def entropy(values):
    frequencies = np.unique(values, return_counts=True)[1] / len(values)
    return -(frequencies * np.log2(frequencies)).sum()


def adaptive_blocks(tokens, levels, length=512):
    coder = AdaptiveCoding(levels)
    return [coder.encode(tokens[i : i + length]) for i in range(0, len(tokens), length)]


def payload_bits(blocks):
    return 8 * (sum(map(len, blocks)) - HEAD_BYTES * len(blocks))


def codings(blocks):
    return [block[0] >> 6 for block in blocks]


@pytest.mark.parametrize("levels", [LOW_RATE, HIGH_RATE])
def test_skewed_levels_cost_their_entropy(levels):
    tokens = tokens_like("skewed", levels, 512 * 12)
    columns = np.unravel_index(tokens, levels, order="F")
    ideal = len(tokens) * sum(entropy(column) for column in columns)
    blocks = adaptive_blocks(tokens, levels)
    assert set(codings(blocks)) == {ORDER_0}
    # Learning the shares of L levels from N tokens costs (L - 1) / 2 * log2(N) bits.
    learning = sum((count - 1) / 2 * math.log2(len(tokens)) for count in levels)
    rounding = 8 * len(blocks)
    assert ideal < payload_bits(blocks) < ideal + learning + rounding


@pytest.mark.parametrize("levels", [LOW_RATE, HIGH_RATE])
def test_levels_like_those_before_cost_what_is_new_about_them(levels):
    tokens = tokens_like("walk", levels, 512 * 12)
    blocks = adaptive_blocks(tokens, levels)
    assert set(codings(blocks[1:])) == {ORDER_1}
    # A step is one of three; all levels are about equally frequent, so order 0 would gain little.
    ideal = len(tokens) * len(levels) * math.log2(3)
    learning = sum(count * (count - 1) / 2 * math.log2(len(tokens)) for count in levels)
    assert payload_bits(blocks) < ideal + learning + 8 * len(blocks)
    assert ideal + learning < 0.65 * len(tokens) * math.log2(math.prod(levels))


@pytest.mark.parametrize("levels", [LOW_RATE, HIGH_RATE])
def test_levels_without_a_pattern_cost_at_most_the_head_more(levels):
    tokens = tokens_like("uniform", levels, 512 * 12)
    blocks = adaptive_blocks(tokens, levels)
    plain = -(-plain_bits(512, math.prod(levels)) // 8)
    assert PLAIN in codings(blocks)
    assert max(map(len, blocks)) == HEAD_BYTES + plain


def test_silence_costs_a_bit_a_token():
    blocks = adaptive_blocks(np.full(512 * 4, 58824), LOW_RATE)
    assert [len(block) for block in blocks[1:]] == [HEAD_BYTES + 512 // 8] * 3


@st.composite
def blocks_and_levels(draw):
    levels = tuple(draw(st.lists(st.integers(2, 9), min_size=1, max_size=6)))
    size = math.prod(levels)
    repeated = st.integers(0, size - 1).flatmap(
        lambda token: st.integers(1, 150).map(lambda count: [token] * count)
    )
    varied = st.lists(st.integers(0, size - 1), min_size=1, max_size=80)
    return levels, draw(st.lists(repeated | varied, min_size=1, max_size=5))


@given(blocks_and_levels())
@example(((2,), [[0] * MAX_BLOCK, [1] * MAX_BLOCK]))
@example(((MAX_LEVELS, MAX_LEVELS), [[5] * MAX_BLOCK] * 9 + [[1023, 0, 1]]))
@settings(max_examples=150)
def test_blocks_come_back_and_are_never_longer_than_plain(case):
    levels, blocks = case
    encoder, decoder = AdaptiveCoding(levels), AdaptiveCoding(levels)
    for tokens in blocks:
        coded = encoder.encode(np.array(tokens))
        plain = -(-plain_bits(len(tokens), math.prod(levels)) // 8)
        assert -(-len(tokens) // 8) <= len(coded) - HEAD_BYTES <= plain
        assert decoder.payload_bytes(coded[:2], len(tokens)) == len(coded) - HEAD_BYTES
        decoded = decoder.decode(coded, len(tokens))
        assert decoded.dtype == np.int32
        assert decoded.tolist() == tokens


@given(st.binary(min_size=2, max_size=120), st.integers(1, 50))
@settings(max_examples=300)
def test_any_bytes_are_tokens_or_a_value_error(data, count):
    decoder = AdaptiveCoding((3, 4))
    try:
        decoder.payload_bytes(data[:2], count)
        tokens = decoder.decode(data, count)
    except ValueError:
        return
    assert tokens.shape == (count,) and tokens.min() >= 0 and tokens.max() < 12


@pytest.mark.parametrize(
    "head",
    [
        0b11 << 14 | 100,  # no such coding
        PLAIN << 14 | 1077,  # plain blocks of 512 tokens have 1079 bytes,
        ORDER_0 << 14 | 1079,  # range coded ones are shorter
        ORDER_1 << 14 | 63,  # and have a bit a token
    ],
)
def test_heads_that_no_encoder_writes_are_refused(head):
    with pytest.raises(ValueError, match="head makes no sense"):
        AdaptiveCoding(LOW_RATE).payload_bytes(head.to_bytes(2, "big"), 512)


def test_dimensions_with_very_many_levels_are_refused():
    with pytest.raises(ValueError, match="up to 32 levels a dimension, got 33"):
        AdaptiveCoding((3, 33))
