"""Progress of long work, shown where there is someone to see it.

Library code reports how far it is; whether that becomes a bar is decided by the caller.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bars,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[int, int], None]
"""Called with what is done and what there is to do."""


@runtime_checkable
class Progress(Protocol):
    """Shows how far a task is."""

    def task(self, name: str, unit: str) -> AbstractContextManager[Advance]:
        """Begin a task; the context hands out the function that reports progress."""
        ...


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, unit: str) -> Iterator[Advance]:
        """Begin a task nobody sees."""
        yield lambda done, total: None


class BarProgress:
    """One bar per task, with rate and time to go, on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw on a console; None for standard error."""
        self._console = Console(stderr=True) if console is None else console

    @contextmanager
    def task(self, name: str, unit: str) -> Iterator[Advance]:
        """Begin a task.

        Args:
            name: What is being done.
            unit: What is counted, for the rate.

        Yields:
            The function that reports progress.
        """
        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=self._console) as bars:
            bar = bars.add_task(name, total=None, rate="")

            def advance(done: int, total: int) -> None:
                elapsed = bars.tasks[0].elapsed or 0.0
                rate = f"{done / elapsed:,.0f} {unit}/s" if elapsed > 0 else ""
                bars.update(bar, completed=done, total=total, rate=rate)

            yield advance
