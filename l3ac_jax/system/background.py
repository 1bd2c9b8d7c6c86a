"""Work in threads, a bounded number of items ahead of what is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 2


def ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    depth: int,
    here: Callable[[Item], bool] = lambda _: False,
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """The function's result for each item, or what it raised, in order, computed in threads.

    At most `depth` items are being worked on or wait for their turn to be given. What `here` is
    true of is computed in the thread of the caller, before the next item is taken.
    """
    pending: deque[tuple[Item, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(THREADS)
    try:
        for item in items:
            future = _computed(function, item) if here(item) else pool.submit(function, item)
            pending.append((item, future))
            while pending and (len(pending) >= depth or pending[0][1].done()):
                yield _outcome(*pending.popleft())
        while pending:
            yield _outcome(*pending.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _computed(function: Callable[[Item], Result], item: Item) -> Future[Result]:
    future: Future[Result] = Future()
    try:
        future.set_result(function(item))
    except Exception as error:
        future.set_exception(error)
    return future


def _outcome(item: Item, future: Future[Result]) -> tuple[Item, Result | Exception]:
    error = future.exception()
    if error is None:
        return item, future.result()
    if not isinstance(error, Exception):
        raise error
    return item, error
