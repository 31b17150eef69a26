"""Build the book: ``python book/build.py``; further arguments go to jupyter-book.

Executed notebooks are kept in ``_build/.jupyter_cache`` under a digest of their own code. They also
depend on the package, the installed versions and a few environment variables, so those are digested
here, and a change drops the executed notebooks.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import vendor

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
STAMP = BUILD / "inputs.sha256"
CACHE = BUILD / ".jupyter_cache"
KEPT = (CACHE, BUILD / ".doctrees")
PINS = ("requirements.txt", "constraints.txt", "pyproject.toml")
PLACES = ("SOTGLP_CACHE",)  # variables that say where files go, not what a notebook computes


def inputs_digest() -> str:
    """SHA-256 of all that an execution depends on beside the notebook itself."""
    digest = hashlib.sha256(platform.python_version().encode())
    for name, value in sorted(os.environ.items()):
        if name.startswith("SOTGLP_") and name not in PLACES:
            digest.update(f"\0{name}={value}".encode())
    package = (
        p for p in (ROOT / "sotglp_core").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    )
    for path in sorted((*package, *(ROOT / name for name in PINS))):
        digest.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def drop_stale(digest: str) -> None:
    """Forget executions that belong to other inputs; the stamp always describes what is there."""
    if STAMP.is_file() and STAMP.read_text() == digest:
        return
    STAMP.unlink(missing_ok=True)
    for folder in KEPT:
        shutil.rmtree(folder, ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    STAMP.write_text(digest)


def print_execution_seconds() -> None:
    from jupyter_cache import get_cache

    latest: dict[str, tuple] = {}
    for record in get_cache(CACHE).list_cache_records() if CACHE.is_dir() else ():
        name = Path(record.uri).name
        if Path(record.uri).is_file() and (name not in latest or record.created > latest[name][0]):
            latest[name] = (record.created, record.data.get("execution_seconds"))
    for name, (_, seconds) in sorted(latest.items()):
        print(f"{name}: {'executed' if seconds is None else f'{seconds:.1f} s'}")


def main(arguments: list[str]) -> int:
    start = time.monotonic()
    vendor.fetch()
    digest = inputs_digest()
    drop_stale(digest)
    environment = {
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "OMP_NUM_THREADS": "1",
        **os.environ,
    }  # a second thread gains little here, and loses much on a busy machine
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    )
    command = [
        str(Path(sys.executable).with_name("jupyter-book")),
        "build",
        ".",
        "-W",
        "-n",
        "--keep-going",
        "--all",
        *arguments,
    ]
    failed = subprocess.run(command, cwd=ROOT, env=environment).returncode
    if inputs_digest() != digest:
        STAMP.unlink(missing_ok=True)
        print("the package changed during the build; build again for pages that match it")
    print_execution_seconds()
    if failed:
        print("the book was not built without warnings; they are listed above", file=sys.stderr)
        return 1
    print(f"built in {time.monotonic() - start:.0f} s: {BUILD / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
