"""Everything slipstate raises on purpose.

Wrong use raises where it is noticed first, usually at construction; the message says
what was expected, what came and what to do. Numerical failure is data and not raised:
see `Outcome` in `slipstate.ground.solution`. This module imports nothing heavy.

```
SlipstateError
├── InputError (ValueError)        an argument has a wrong value, shape or unit
│   └── RecordError                a file cannot be read: path, line, remedy
├── MethodError (TypeError)        this method cannot treat this model
├── PrecisionError (RuntimeError)  float64 is needed and switched off
├── CheckpointError (RuntimeError) a saved state does not fit what is to be resumed
└── OutputError (OSError)          results could not be written; nothing was replaced
```
"""

import os


class SlipstateError(Exception):
    """Root of everything slipstate raises on purpose."""


class InputError(SlipstateError, ValueError):
    """An argument has a wrong value, shape or unit."""


class RecordError(InputError):
    """A file cannot be read as a record.

    Attributes:
        path: The file.
        line: Line number, counted from 1, or None where no line is to blame.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        expected: str,
        found: str,
        remedy: str,
        *,
        line: int | None = None,
    ) -> None:
        """Compose the one-line message.

        Args:
            path: The file.
            expected: What should have been there.
            found: What was there.
            remedy: What the user can do.
            line: Line number, counted from 1.
        """
        self.path = os.fspath(path)
        self.line = line
        place = self.path if line is None else f"{self.path}, line {line}"
        super().__init__(f"{place}: expected {expected}; found {found}. {remedy}")


class MethodError(SlipstateError, TypeError):
    """A method was given a model that lacks what the method needs."""


class PrecisionError(SlipstateError, RuntimeError):
    """float64 is needed and switched off, or was asked for too late."""


class CheckpointError(SlipstateError, RuntimeError):
    """A saved state does not belong to the run that wants to resume from it."""


class OutputError(SlipstateError, OSError):
    """Results could not be written; what was there before is untouched."""
