"""Work that goes on beside the main road, on the second core.

Compiled programs and large array operations release the interpreter's lock, so scoring
forecasts on the host costs little time while the candidates of slow slip are weighed.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

from slipstate.fit.progress import Advance

T = TypeVar("T")

_LOOK = 0.1  # [s] between two looks at how far it is


class _LeftError(Exception):
    """The main road was left by an error; nobody waits for the result."""


@contextmanager
def beside(work: Callable[[Advance], T]) -> Iterator[Callable[[Advance], T]]:
    """Begin a piece of work in a thread of its own.

    Args:
        work: The work; calls what it is given with parts done and all parts, now and
            then, and is stopped there where the context is left early.

    Yields:
        A function that waits for the result, shows progress meanwhile, and raises what
        the work raised.
    """
    so_far = [0, 1]
    left = Event()

    def report(done: int, total: int) -> None:
        if left.is_set():
            raise _LeftError
        so_far[:] = done, total

    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work, report)

        def result(advance: Advance) -> T:
            while wait([future], _LOOK).not_done:
                advance(so_far[0], so_far[1])
            found = future.result()
            advance(so_far[0], so_far[1])
            return found

        try:
            yield result
        finally:
            left.set()
