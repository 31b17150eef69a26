"""Files that are either whole or not there: atomic writes, and tensors with a record as safetensors."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path``; it replaces ``path`` when the block ends well and vanishes when it does not.

    :raises ValueError: if the folder can't be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise ValueError(f"can't write to {path.parent}: {error.strerror}; choose another folder") from None
    os.close(handle)
    try:
        yield Path(name)
        try:
            with open(name, "rb") as written:
                os.fsync(written.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except OSError as error:
            raise ValueError(f"can't write {path}: {error.strerror}") from None
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a whole UTF-8 text file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_tensors(path: str | Path, tensors: dict[str, Tensor], record: dict) -> None:
    """Write named tensors and a JSON record as one safetensors file, atomically."""
    with atomic_path(path) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, {"record": json.dumps(record)})


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read what :func:`save_tensors` wrote.

    :raises ValueError: if the file is missing, not safetensors, or has no record.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    try:
        with safe_open(path, "pt") as file:
            record = json.loads((file.metadata() or {})["record"])
            return {key: file.get_tensor(key) for key in list(file.keys())}, record
    except (KeyError, ValueError):
        raise ValueError(f"{path} has no record of this package; give a file that it saved") from None
    except Exception as error:
        raise ValueError(f"{path} can't be read as safetensors: {error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
