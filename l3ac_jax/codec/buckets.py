"""A few clip lengths to compile for, so that a folder of many lengths compiles a handful of times.

Results do not depend on the bucket: the network masks what lies past a clip's end.
"""

import math

STEPS_PER_DECADE = 5
FIRST_STEP = -3  # 0.25 s
MULTIPLE = 16


def bucket_tokens(tokens: int, tokens_per_second: float) -> int:
    """The length in tokens, at least `tokens`, to which a clip is padded.

    Lengths lie at 10^(k/5) seconds (0.25, 0.4, 0.63, 1, 1.6, 2.5, 4, 6.3, 10, 16...): a clip costs
    at most 1.6 times, on average about 1.27 times, what its own length would.
    """
    step = math.floor(math.log10(tokens / tokens_per_second) * STEPS_PER_DECADE)
    step = max(step, FIRST_STEP)
    bucket = 0
    while bucket < tokens:
        exact = 10 ** (step / STEPS_PER_DECADE) * tokens_per_second
        # many divisors: the network computes in blocks of equal size
        bucket = MULTIPLE * math.ceil(exact / MULTIPLE)
        step += 1
    return bucket
