"""A process that reads the files that it is told on standard input, and says how each went."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time

from l3ac_jax.audio.reading import open_reader
from l3ac_jax.errors import AudioError

MEMORY = 4 * 2**30


def main() -> None:
    """A line of JSON for each line with a path; what libraries print goes nowhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        print(json.dumps(_read(line.rstrip("\n"))), file=answers, flush=True)


def _read(path: str) -> dict:
    told: list[str] = []
    digest = hashlib.sha256()
    start = time.perf_counter()
    result: dict = {"error": None, "samples": 0}
    try:
        with open_reader(path, on_damage=told.append) as reader:
            for block in reader.blocks():
                digest.update(block.tobytes())
            result["samples"] = reader.samples
    except AudioError as error:
        result["error"] = str(error)
    result["told"] = told[0] if told else None
    result["digest"] = digest.hexdigest()
    result["seconds"] = time.perf_counter() - start
    result["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


if __name__ == "__main__":
    main()
