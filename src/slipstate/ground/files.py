"""Writing so that nothing is ever half-written.

A file is complete or it is not there: the bytes go to a temporary name in the same
folder, are forced to the disk, and take the final name in one step.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from slipstate.ground.errors import OutputError

PART = ".part"
"""How the temporary name of an unfinished file ends; it begins with a dot."""

_REMEDY = {
    errno.ENOSPC: "Free some space or choose another folder, then run again.",
    errno.EDQUOT: "Your quota is used up; free some space, then run again.",
    errno.EFBIG: "Files may not grow that large here; choose another folder.",
    errno.EACCES: "Choose a folder you may write to.",
    errno.EPERM: "Choose a folder you may write to.",
    errno.EROFS: "The disk is read-only; choose another folder.",
    errno.ENOENT: "Create the folder first, or choose another.",
    errno.ENOTDIR: "A file stands where a folder should; choose another path.",
    errno.EISDIR: "A folder stands where a file should; choose another path.",
}


def replace_file(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write `data` under the name `path`, whole or not at all.

    Args:
        path: Final name; what stands there is replaced only by a complete file.
        data: The whole content.

    Raises:
        OutputError: It cannot be written; the old file is untouched and no temporary
            file is left behind.
    """
    replace_files({Path(path): data})


def replace_files(contents: Mapping[Path, bytes | memoryview]) -> None:
    """Write several files, each whole; none is replaced before all are on the disk.

    Args:
        contents: Final name to content.

    Raises:
        OutputError: One cannot be written; the old files are untouched and no
            temporary file is left behind.
    """
    staged: dict[Path, Path] = {}
    place = Path()
    try:
        for place, data in contents.items():
            staged[place] = _stage(place, data)
        for place in contents:
            staged[place].replace(place)
            del staged[place]
        for folder in {place.parent for place in contents}:
            _sync_folder(folder)
    except OSError as error:
        raise output_error(place, error) from None
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink()


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder and its parents where they are missing.

    Args:
        path: The folder.

    Returns:
        The folder.

    Raises:
        OutputError: It cannot be created or is no folder.
    """
    place = Path(path)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(place, error) from None
    return place


def claim_folder(
    out: str | os.PathLike[str], what: str, is_ours: Callable[[Path], bool]
) -> Path:
    """Return an output folder, made and tried, before any work is done.

    Args:
        out: The folder; it may be new, empty, or hold earlier results.
        what: What earlier results are, for the message: "run".
        is_ours: Tells whether an earlier run wrote a file or folder.

    Returns:
        The folder, without temporary files that a killed run left behind.

    Raises:
        OutputError: It cannot be made or written, or it holds something else.
    """
    folder = make_folder(out)
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"{folder}: expected a folder to list; found `{error.strerror}`. Choose a "
            "folder you may read and write."
        ) from None
    for name in names:
        if not name.startswith(".") and not is_ours(folder / name):
            raise OutputError(
                f"{folder}: expected an empty folder or an earlier {what}; found "
                f"`{name}`, which slipstate did not write. Nothing was replaced. "
                "Choose another folder with --out."
            )
    trial = folder / ".trial"
    replace_file(trial, b"")
    with contextlib.suppress(OSError):
        trial.unlink()
    for name in names:
        if name.startswith(".") and name.endswith(PART):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
    return folder


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the one-line error for a failed write.

    Args:
        path: What should have been written.
        error: What the system said.

    Returns:
        The error, to be raised.
    """
    reason = error.strerror or str(error)
    remedy = _REMEDY.get(error.errno or 0, "Choose another folder.")
    return OutputError(
        f"{path}: expected to write; found `{reason}`. Nothing was replaced. {remedy}"
    )


def _stage(place: Path, data: bytes | memoryview) -> Path:
    """Put the content on the disk under a temporary name in the same folder."""
    descriptor, name = tempfile.mkstemp(
        prefix=f".{place.name}.", suffix=PART, dir=place.parent
    )
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~_umask())
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # so that the new name survives a power cut; not every file system can
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
