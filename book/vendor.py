"""Put the two JavaScript libraries of the built book into ``book/_static/vendor``, so that it can be read offline."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent / "_static" / "vendor"
MATHJAX, WIDGETS = "mathjax@3.2.2", "@jupyter-widgets/html-manager@1.0.15"
VERSIONS = f"{MATHJAX}\n{WIDGETS}\n"
NOTE = "note: {}; the book will load mathematics and widgets from the network when it is read"


def fetch() -> bool:
    """Fetch the pinned libraries through npm, once; False (and a note) where that can't be done."""
    done = VENDOR / "versions.txt"
    if done.is_file() and done.read_text() == VERSIONS:
        return True
    npm = shutil.which("npm")
    if npm is None:
        print(NOTE.format("npm is not installed"))
        return False
    shutil.rmtree(VENDOR, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _unpack(npm, MATHJAX, Path(folder, "mathjax"), ("es5/tex-svg-full.js",))
            _unpack(npm, WIDGETS, Path(folder, "widgets"), ("dist/embed.js", "dist/*.woff2"))
    except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
        print(NOTE.format(f"npm could not fetch the libraries ({type(error).__name__})"))
        shutil.rmtree(VENDOR, ignore_errors=True)
        return False
    done.write_text(VERSIONS)
    return True


def _unpack(npm: str, package: str, folder: Path, patterns: tuple[str, ...]) -> None:
    """Copy the wanted files of one package; of the fonts only those that the script names."""
    folder.mkdir()
    subprocess.run([npm, "pack", "--silent", "--fetch-retries=1", "--fetch-timeout=30000", package], cwd=folder, check=True,
                   timeout=180, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    VENDOR.mkdir(parents=True, exist_ok=True)
    scripts = [path for pattern in patterns for path in (folder / "package").glob(pattern) if path.suffix == ".js"]
    if not scripts:
        raise FileNotFoundError(package)
    named = {font for script in scripts for font in re.findall(r"[0-9a-f]+\.woff2", script.read_text(encoding="utf-8"))}
    for path in (path for pattern in patterns for path in (folder / "package").glob(pattern)):
        if path.suffix == ".js" or path.name in named:
            shutil.copy(path, VENDOR / path.name)


if __name__ == "__main__":
    sys.exit(not fetch())
