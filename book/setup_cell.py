"""Write Colab's badge and set-up cell into notebooks: ``python book/setup_cell.py [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

REPOSITORY, BRANCH = "ORG/sotglp", "main"
NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
BADGE_ID, SETUP_ID = "colab-badge", "colab-setup"

SETUP = f"""\
# Google Colab only: installs the package and keeps Colab's own torch.
import sys

if "google.colab" in sys.modules:
    import subprocess
    import tempfile
    from importlib import metadata
    from pathlib import Path

    own = ["torch", "torchvision", "numpy", "ipywidgets", "matplotlib"]
    constraints = Path(tempfile.mkdtemp()) / "colab.txt"
    constraints.write_text("\\n".join(f"{{n}}=={{metadata.version(n)}}" for n in own))
    package = "sotglp-core[book] @ git+https://github.com/{REPOSITORY}@{BRANCH}"
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(constraints)]
    subprocess.check_call([*pip, package])"""


def badge(path: Path) -> str:
    """The Markdown of the badge that opens this notebook in Colab."""
    url = (
        f"https://colab.research.google.com/github/{REPOSITORY}/blob/{BRANCH}/notebooks/{path.name}"
    )
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({url})"


def with_setup(notebook, path: Path):
    """The notebook with title, badge and set-up cell first, in this order."""
    notebook = nbformat.from_dict(notebook)
    rest = [cell for cell in notebook.cells if cell.get("id") not in (BADGE_ID, SETUP_ID)]
    hidden = {"tags": ["remove-cell"]}
    cells = [
        nbformat.v4.new_markdown_cell(badge(path), id=BADGE_ID, metadata=hidden),
        nbformat.v4.new_code_cell(SETUP, id=SETUP_ID, metadata=hidden),
    ]
    notebook.nbformat, notebook.nbformat_minor = 4, max(5, notebook.nbformat_minor)
    notebook.cells = rest[:1] + cells + rest[1:]
    return notebook


def main(arguments: list[str]) -> int:
    changed = 0
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        notebook = with_setup(nbformat.reads(before, as_version=4), path)
        nbformat.validate(notebook)
        after = nbformat.writes(notebook) + "\n"
        if after == before:
            continue
        changed += 1
        print(
            f"{path.name}: {'needs' if '--check' in arguments else 'got'} the set-up cell or badge,"
        )
        print("  or the standard layout of the file")
        if "--check" not in arguments:
            path.write_text(after, encoding="utf-8")
    return int(changed > 0 and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
