"""Work that goes on beside the main road, on the second core.

Compiled programs and large array operations release the interpreter's lock, so scoring
forecasts on the host costs little time while the candidates of slow slip are weighed.
What is left when the main road ends is shared by both.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from slipstate.fit.progress import Advance


@contextmanager
def beside(parts: Sequence[Callable[[], None]]) -> Iterator[Callable[[Advance], None]]:
    """Begin some work in a thread of its own.

    Args:
        parts: Parts of the work, each for itself, in any order. Where the context is
            left early, no further one is begun.

    Yields:
        A function that does what is left, waits for the rest, shows progress meanwhile,
        and raises what a part raised.
    """
    waiting = deque(parts)

    def work() -> None:
        while waiting:
            _do_next(waiting)

    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work)

        def finish(advance: Advance) -> None:
            while waiting:
                advance(len(parts) - len(waiting), len(parts))
                _do_next(waiting)
            future.result()
            advance(len(parts), len(parts))

        try:
            yield finish
        finally:
            waiting.clear()


def _do_next(waiting: deque[Callable[[], None]]) -> None:
    """Do one part, unless the other thread has just taken the last one."""
    try:
        part = waiting.popleft()
    except IndexError:
        return
    part()
    # what a part leaves behind may refer to itself and hold large arrays
    gc.collect(1)
