"""Text files, looked at before they are read, and blamed by line number.

A file may be anything: a sparse 10 GB file, a photograph, a folder. So the first 64 KiB
are looked at first, the size is bounded before the rest is read, and every complaint
names the file, the line, what was expected, what was found and what to do.
"""

import os
import stat
from pathlib import Path

from slipstate.ground.errors import RecordError

HEAD_BYTES = 1 << 16
"""What a reader may look at to recognise a file [bytes]."""

MAX_LINE_BYTES = 1 << 20
"""A longer line is no row of a record [bytes]."""

MAX_TEXT_BYTES = 1 << 27
"""A larger text file is refused before it is read [bytes]."""

_EXCERPT = 60


def require_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` if it is a file that can be opened and is not empty.

    Args:
        path: Where the record should be.

    Returns:
        The path.

    Raises:
        RecordError: It does not exist, is no regular file, is empty, or is locked.
    """
    place = Path(path)
    try:
        status = place.stat()
        if stat.S_ISDIR(status.st_mode):
            raise RecordError(
                place,
                "a file",
                "a directory",
                "Name the files in it, for example `DIR/*.csv`.",
            )
        if not stat.S_ISREG(status.st_mode):
            raise RecordError(
                place,
                "a regular file",
                "a device, pipe or socket",
                "Save the data in a file first.",
            )
        if status.st_size == 0:
            raise RecordError(
                place, "a record", "an empty file", "Fetch the file again."
            )
        with place.open("rb") as handle:
            handle.read(1)
    except FileNotFoundError:
        raise RecordError(
            place, "a file", "nothing at this path", "Check the spelling of the path."
        ) from None
    except PermissionError:
        raise RecordError(
            place,
            "a readable file",
            "no permission to read it",
            "Change its mode (`chmod u+r`) or copy it.",
        ) from None
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(
            place,
            "a readable file",
            f"`{error.strerror or error}`",
            "Check the path and the disk.",
        ) from None
    return place


def head(path: Path) -> bytes:
    """Return the first 64 KiB of a file, without a byte-order mark."""
    with path.open("rb") as handle:
        return handle.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")


def first_lines(path: Path) -> list[str]:
    """Return the whole lines of the head, for recognition only; [] for binary."""
    data = head(path)
    if b"\x00" in data:
        return []
    return data.decode("utf-8", errors="replace").splitlines()


def read_text(path: Path) -> str:
    r"""Return a text with line ends as "\n", after bounds and encoding were checked.

    Args:
        path: A file that `require_file` has passed.

    Returns:
        The text, ending in a line end.

    Raises:
        RecordError: Binary, too large, a line without end, or not UTF-8.
    """
    require_text(path)
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise RecordError(
            path,
            f"a text file of at most {MAX_TEXT_BYTES >> 20} MiB",
            f"{size / 2**20:.0f} MiB",
            "Split it, or convert it to netCDF.",
        )
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if b"\x00" in data:
        line = data.count(b"\n", 0, data.index(b"\x00")) + 1
        raise RecordError(
            path,
            "text",
            "binary bytes (NUL)",
            "The file is damaged or unfinished; fetch it again.",
            line=line,
        )
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    start, line = 0, 1
    while len(data) - start > MAX_LINE_BYTES:
        end = data.rfind(b"\n", start, start + MAX_LINE_BYTES)
        if end < 0:
            line += data.count(b"\n", 0, start)
            _refuse_line(path, line)
        start = end + 1
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(
            path,
            "UTF-8 text",
            f"byte 0x{data[error.start]:02x}",
            "Save the file as UTF-8, for example `iconv -f latin1 -t utf8`.",
            line=data.count(b"\n", 0, error.start) + 1,
        ) from None


def require_text(path: Path) -> None:
    """Raise unless the head of a file looks like lines of text.

    Args:
        path: The file.

    Raises:
        RecordError: The head holds NUL bytes, or its first line does not end.
    """
    start = head(path)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecordError(
            path,
            "UTF-8 text",
            "UTF-16 text",
            "Save the file as UTF-8, for example `iconv -f utf16 -t utf8`.",
        )
    if b"\x00" in start:
        raise RecordError(
            path,
            "a text table or a netCDF file",
            "a binary file of another kind",
            "Convert it to csv with units in the header, or to netCDF.",
        )
    if b"\n" not in start and b"\r" not in start and len(start) == HEAD_BYTES:
        with path.open("rb") as handle:
            line = handle.readline(MAX_LINE_BYTES + 1)
        if len(line) > MAX_LINE_BYTES and b"\r" not in line:
            _refuse_line(path, 1)


def excerpt(text: str) -> str:
    """Return `text` as it may stand inside a message: one short line, in backticks."""
    line = " ".join(text.split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    if len(line) > _EXCERPT:
        line = line[: _EXCERPT - 3] + "..."
    return f"`{line}`" if line else "nothing"


def _refuse_line(path: Path, line: int) -> None:
    raise RecordError(
        path,
        f"lines of at most {MAX_LINE_BYTES >> 20} MiB",
        "a line without end",
        "This is no table of rows; export it with one sample per line.",
        line=line,
    )
