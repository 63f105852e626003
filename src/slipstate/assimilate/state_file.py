"""A running state on the disk, to go on from after a restart.

    save_state(path, running, model)
    running = load_state(path, init(model, method), model)

Arrays as safetensors with JSON in its header, nothing that could run code; a file is
whole or absent. What is loaded is bit for bit what was saved, so the run goes on as if
it had never stopped.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from slipstate import __version__
from slipstate.assimilate.protocol import Running
from slipstate.ground.archive import digest, pack, unpack
from slipstate.ground.errors import CheckpointError
from slipstate.ground.files import replace_file
from slipstate.systems.protocol import AbstractModel

_KIND = "slipstate running state"


def save_state(
    path: str | os.PathLike[str],
    running: Running,
    model: AbstractModel | None = None,
) -> None:
    """Write where a run stands.

    Args:
        path: The file; what stands there is replaced only by a whole file.
        running: Where the run stands.
        model: The model; its fingerprint keeps the state from going on with another.

    Raises:
        OutputError: The file cannot be written; an older one is untouched.
    """
    arrays = {
        name: np.asarray(as_numbers(leaf)) for name, leaf in _named(running).items()
    }
    meta = {
        "kind": _KIND,
        "version": __version__,
        "model": None if model is None else fingerprint_model(model),
        "leaves": {name: _describe(leaf) for name, leaf in _named(running).items()},
        "sha256": content_digest(arrays),
    }
    replace_file(path, pack(arrays, meta))


def load_state(
    path: str | os.PathLike[str],
    like: Running,
    model: AbstractModel | None = None,
) -> Running:
    """Read where a run stood.

    Args:
        path: The file.
        like: A running state of the same model and method, from `init`.
        model: The model that goes on; None to trust the caller.

    Returns:
        The running state, bit for bit as it was saved.

    Raises:
        CheckpointError: The file is absent, damaged, or belongs to a run of another
            model, method or precision.
    """
    place = Path(path)
    arrays, meta = read_archive(place, _KIND)
    if model is not None and meta["model"] not in (None, fingerprint_model(model)):
        raise CheckpointError(
            f"{place}: expected a state of this {type(model).__name__}; found one of a "
            "model with other numbers or parts. Load it with the model that it was "
            "saved with, or start afresh with `init`."
        )
    wanted = {name: _describe(leaf) for name, leaf in _named(like).items()}
    for name in {**wanted, **meta["leaves"]}:
        want, got = wanted.get(name, "nothing"), meta["leaves"].get(name, "nothing")
        if want != got:
            raise CheckpointError(
                f"{place}: expected {want} at `running{name}`; found {got}. Load it "
                "with `like` from the same model, method and precision."
            )
    leaves, structure = jax.tree.flatten(eqx.filter(like, eqx.is_array))
    found = [as_leaf(arrays[name], leaf) for name, leaf in zip(_named(like), leaves)]
    return eqx.combine(jax.tree.unflatten(structure, found), like)


def read_archive(place: Path, kind: str) -> tuple[dict[str, np.ndarray], Any]:
    """Return arrays and words of a state file, or say what is wrong with it.

    Args:
        place: The file.
        kind: What it must say that it is.

    Raises:
        CheckpointError: The file is absent, damaged, or something else.
    """
    try:
        data = place.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{place}: expected a readable file; found `{error.strerror}`. Start "
            "afresh with `init`, or give the path that `save_state` was given."
        ) from None
    try:
        arrays, meta = unpack(data)
        whole = meta["kind"] == kind and meta["sha256"] == content_digest(arrays)
    except Exception:  # noqa: BLE001 - whatever a damaged file makes a parser raise
        whole = False
        arrays, meta = {}, None
    if not whole:
        raise CheckpointError(
            f"{place}: expected a state written by `save_state`; found something else "
            "or a damaged file. Use an older copy, or start afresh with `init`."
        )
    return arrays, meta


def _named(running: Running) -> dict[str, jax.Array]:
    """Return the arrays of a running state by their path in it."""
    tree = eqx.filter(running, eqx.is_array)
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def _is_key(leaf: jax.Array) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def as_numbers(leaf: jax.Array) -> jax.Array:
    """Return an array as numbers: a random key as its bits."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def as_leaf(array: np.ndarray, like: jax.Array) -> jax.Array:
    """Return an array from what `as_numbers` made of it.

    Args:
        array: The numbers.
        like: An array of the same kind.
    """
    if _is_key(like):
        impl = jax.random.key_impl(like)
        return jax.random.wrap_key_data(jnp.asarray(array), impl=impl)
    return jnp.asarray(array)


def _describe(leaf: jax.Array) -> str:
    """Return type and shape of a leaf in words."""
    return f"{leaf.dtype}{list(leaf.shape)}"


def content_digest(arrays: dict[str, np.ndarray]) -> str:
    """Return one checksum over all arrays.

    Args:
        arrays: Arrays by name.
    """
    return digest(
        b"".join(
            name.encode() + np.ascontiguousarray(arrays[name]).tobytes()
            for name in sorted(arrays)
        )
    )


def fingerprint_model(model: Any) -> str:
    """Return a checksum of the structure and the numbers of a model, or of settings.

    Args:
        model: Any tree of arrays and static settings.
    """
    leaves, structure = jax.tree.flatten(eqx.filter(model, eqx.is_array))
    mark = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        mark.update(_describe(leaf).encode())
        mark.update(np.asarray(as_numbers(leaf)).tobytes())
    return mark.hexdigest()
