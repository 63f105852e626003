"""Arrays and a few words beside them as bytes, without anything that could run code.

Safetensors: eight bytes of length, a JSON header, then the arrays as they lie in
memory. What else belongs to them travels as JSON in the header.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from slipstate.ground.errors import InputError

Json = Any
"""What JSON can hold: None, bool, int, float, str, lists and string-keyed dicts."""


def pack(arrays: Mapping[str, np.ndarray], meta: Json = None) -> bytes:
    """Return arrays and JSON as bytes.

    Args:
        arrays: Numeric or boolean arrays by name.
        meta: Anything JSON can hold.

    Returns:
        The bytes of a safetensors file.

    Raises:
        InputError: An array or `meta` cannot be written.
    """
    plain = {}
    for name, array in arrays.items():
        # an own copy in C order: safetensors writes the memory as it lies
        held = np.array(array, order="C", copy=True)
        if held.dtype.kind not in "biuf":
            raise InputError(
                f"`arrays[{name!r}]` must be numbers or booleans; got {held.dtype}. "
                "Put text into `meta`, times as int64 into `arrays`."
            )
        plain[name] = held
    return safetensors.numpy.save(plain, metadata={"meta": dump(meta)})


def unpack(data: bytes) -> tuple[dict[str, np.ndarray], Json]:
    """Return the arrays and the JSON of `pack`, bit for bit."""
    return safetensors.numpy.load(data), unpack_meta(data)


def unpack_meta(data: bytes) -> Json:
    """Return the JSON of `pack` alone."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return json.loads(header["__metadata__"]["meta"])


def dump(meta: Json) -> str:
    """Return `meta` as JSON text, or raise `InputError`."""
    try:
        return json.dumps(meta)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`meta` must be what JSON can hold; got {error}. Use plain numbers, text, "
            "lists and dictionaries."
        ) from None


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes as text."""
    return hashlib.sha256(data).hexdigest()
