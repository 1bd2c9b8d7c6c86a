"""Compiled programs are kept between runs, and the user is told when there is a wait for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any, Self

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from l3ac_jax.system.cache import cache_folder

# Shorter compilations, and programs found in the cache, are not worth a word.
PATIENCE_SECONDS = 0.7

REQUESTED = "/jax/compilation_cache/compile_requests_use_cache"
FOUND = "/jax/compilation_cache/cache_hits"
COMPILED = "/jax/core/compile/backend_compile_duration"


def keep_compiled_programs() -> Path:
    """Keep what JAX compiles in this process between runs, in the user's cache; gives the folder.

    It is JAX's persistent compilation cache, as the commands use it: what an earlier process has
    compiled, for whatever model and length, is read instead. A folder that JAX has been told to use
    (jax_compilation_cache_dir, $JAX_COMPILATION_CACHE_DIR) has precedence. What has been compiled
    before the call is not kept.
    """
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    folder = Path(chosen or cache_folder() / "compiled")
    if not chosen:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        reset_cache()  # JAX looks for a folder when it first compiles, and not again
    # The default of one second leaves out programs that take long enough to be noticed.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return folder


@cache
def quick_compilation() -> dict[str, bool | int]:
    """Options of `jax.jit` for what runs once: a quarter of the time to compile on a CPU."""
    if jax.default_backend() != "cpu":
        return {}
    # JAX 0.12 no longer has the second.
    return known_options(
        {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    )


PRODUCT_OPTIONS = {"xla_gpu_enable_triton_gemm": False}


@cache
def product_options() -> dict[str, bool]:
    """Options of `jax.jit` for programs that consist of matrix products: none of Triton's on a GPU.

    XLA compiles and times dozens of Triton kernels for each product. Without them a codec's exact
    programs compile in 5 instead of 72 s and run as fast; a training step compiles in 59 instead of
    99 s and takes 57 instead of 53 ms (3kbps, H200).
    """
    if jax.default_backend() != "gpu":
        return {}
    return known_options(PRODUCT_OPTIONS)


def known_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options` that this version of XLA takes: they come and go.

    It is found out with a program that takes some milliseconds.
    """

    def trial_of_options(x: int) -> int:
        return x + 1

    def is_known(name: str) -> bool:
        try:
            jax.jit(trial_of_options, compiler_options={name: options[name]})(0).block_until_ready()
        except jax.errors.JaxRuntimeError:
            return False
        return True

    return {name: value for name, value in options.items() if is_known(name)}


class CompilationTime:
    """Seconds spent so far on programs that the persistent cache did not have, and has now.

    To be used as a context manager.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._missed = False

    def __enter__(self) -> Self:
        jax.monitoring.register_event_listener(self._on_event)
        jax.monitoring.register_event_duration_secs_listener(self._on_duration)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_listener(self._on_event)
        jax.monitoring.unregister_event_duration_listener(self._on_duration)

    def _on_event(self, event: str, **_: str | int) -> None:
        if event in (REQUESTED, FOUND):
            self._missed = event == REQUESTED

    def _on_duration(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILED and self._missed:
            self.seconds += duration_secs
            self._missed = False


class CompilationWatch:
    """Tells of each program that compiles for longer than `PATIENCE_SECONDS`.

    `began` gets its function's name and when compilation began (as `time.monotonic`), in a thread
    of its own while it goes on; `ended` the name and the seconds that it took. A program that the
    persistent cache has is there too soon to be told of. To be used as a context manager.
    """

    def __init__(self, began: Callable[[str, float], None], ended: Callable[[str, float], None]):
        self._began, self._ended = began, ended
        self._current: dict[int, _Compilation] = {}  # by thread

    def __enter__(self) -> Self:
        jax.monitoring.register_scalar_listener(self._on_begin)
        jax.monitoring.register_event_duration_secs_listener(self._on_end)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_scalar_listener(self._on_begin)
        jax.monitoring.unregister_event_duration_listener(self._on_end)
        for compilation in self._current.values():
            compilation.cancel()

    def _on_begin(self, event: str, value: float, **details: str | int) -> None:
        if event == COMPILED:
            name = str(details.get("fun_name", "")).removeprefix("jit(").removesuffix(")")
            self._current[threading.get_ident()] = _Compilation(name, self._began)

    def _on_end(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILED and (mine := self._current.pop(threading.get_ident(), None)):
            mine.cancel()
            if mine.told:
                self._ended(mine.name, duration_secs)


class _Compilation:
    def __init__(self, name: str, began: Callable[[str, float], None]):
        self.name, self.told = name, False
        self._since, self._began = monotonic(), began
        self._timer = threading.Timer(PATIENCE_SECONDS, self._tell)
        self._timer.daemon = True
        self._timer.start()

    def _tell(self) -> None:
        self.told = True
        self._began(self.name, self._since)

    def cancel(self) -> None:
        self._timer.cancel()


class CompilationNotice:
    """Shows a line while a codec's program is being compiled, and one when that is over.

    A codec's `on_compile` comes before it is known whether the persistent cache has the program;
    this waits and sees.
    """

    def __init__(self, show: Callable[[str], None]):
        self._show = show
        self._line: str | None = None
        self._shown = False
        self._watch = CompilationWatch(self._began, self._ended)
        self._watch.__enter__()

    def __call__(self, line: str) -> None:
        """The line to show if one of the next programs takes a while."""
        self._line = line

    def close(self) -> None:
        """Show nothing more."""
        self._watch.__exit__()

    def _began(self, name: str, start: float) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._show(line)
            self._shown = True

    def _ended(self, name: str, seconds: float) -> None:
        if self._shown:
            self._show(f"compiled in {seconds:.0f} s")
        self._shown = False
