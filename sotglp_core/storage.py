"""Files that are either whole or not there: atomic writes, tensors with a record as safetensors,
and rows too many for memory.
"""

import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import numpy as np
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor


class WriteError(ValueError):
    """A file could not be written."""


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Says which file or folder could not be written, and why.

    :raises WriteError: on any error of the system's.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"can't write {path}: {reason}; choose another folder") from None


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path``; it replaces ``path`` when the block ends well and vanishes
    when it does not.

    :raises WriteError: if the folder can't be written to, or the block raises an OSError.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.tmp")
    with writing(path):
        if path.exists() and not path.is_file():
            raise WriteError(f"can't write {path}: it is a folder, a pipe or a device; name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            with open(temporary, "rb+") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a whole UTF-8 text file, atomically.

    :raises WriteError: if the folder can't be written to or has no room.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_tensors(path: str | Path, tensors: dict[str, Tensor], record: dict) -> None:
    """Write named tensors and a JSON record as one safetensors file, atomically.

    :raises WriteError: if the folder can't be written to or has no room.
    """
    on_cpu = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    content = save(on_cpu, {"record": json.dumps(record)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


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
    except Exception as error:
        raise ValueError(
            f"{path} can't be read as a file that this package saved: {error!r}; give another"
        ) from None


def save_rows(path: str | Path, row: np.dtype, number: int, batches: Iterable[np.ndarray]) -> None:
    """Write ``number`` rows, a batch at a time, as one NumPy file that ends with the CRC-32 of all
    before it; atomically.

    :param batches: arrays of dtype ``row``, ``number`` rows in all.
    :raises WriteError: if the folder can't be written to or has no room; whatever ``batches``
        raises passes through.
    """
    buffer = io.BytesIO()
    np.lib.format.write_array_header_2_0(
        buffer,
        {"descr": np.lib.format.dtype_to_descr(row), "fortran_order": False, "shape": (number,)},
    )
    header = buffer.getvalue()
    crc = zlib.crc32(header)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # learn of a full disk before the work, not after
            os.posix_fallocate(file.fileno(), 0, len(header) + number * row.itemsize + 4)
        file.write(header)
        for batch in batches:
            crc = zlib.crc32(batch.data, crc)
            file.write(batch.data)
        file.write(crc.to_bytes(4, "little"))


def map_rows(path: str | Path, row: np.dtype, number: int) -> np.ndarray:
    """What :func:`save_rows` wrote, mapped read-only into memory after all of it was checked.

    :raises ValueError: if the file is missing, damaged or of other rows.
    """
    try:
        content = np.memmap(path, np.uint8, "r")
        if zlib.crc32(content[:-4].data) != int.from_bytes(content[-4:], "little"):
            raise ValueError(f"{path} is damaged")
        rows = np.load(path, mmap_mode="r")
    except OSError as error:
        raise ValueError(f"can't read {path}: {error.strerror}") from None
    if rows.dtype != row or rows.shape != (number,):
        raise ValueError(f"{path} holds other rows")
    return rows
