"""Write the notebooks for Google Colab, which knows no MyST: ``python book/colab.py [FOLDER]``."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

import nbformat
import yaml
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
REPOSITORY, BRANCH = CONFIG["repository"]["url"], "colab"
OWNER, NAME = REPOSITORY.split("/")[-2:]
BOOK = f"https://{OWNER}.github.io/{NAME}/"

SETUP = f"""\
# On Google Colab: install the package, and keep Colab's torch.
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

if "google.colab" in sys.modules:
    keep = ["torch", "torchvision", "numpy", "ipywidgets", "matplotlib"]
    constraints = Path(tempfile.mkdtemp()) / "colab.txt"
    constraints.write_text("\\n".join(f"{{n}}=={{metadata.version(n)}}" for n in keep))
    package = "sotglp-core[book] @ git+{REPOSITORY}"
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(constraints)]
    subprocess.check_call([*pip, package])
    print("installed sotglp-core; kept torch", metadata.version("torch"))
else:
    print("not on Colab, so nothing was installed")"""

DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,})\{(?P<name>[\w-]+)\} *(?P<title>[^\n]*)\n"
    r"(?P<options>(?::[^\n]*\n)*)(?P<body>.*?)^(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
ROLE = re.compile(r"\{(?P<name>[a-z:]+)\}`(?P<text>[^`<]*?)(?: *<(?P<target>[^`>]+)>)?`")
EXERCISE = re.compile(r"^`{3,}\{exercise\}.*?:label: *(\S+)", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^\((\S+)\)=$", re.MULTILINE)
EQUATION = re.compile(r"^`{3,}\{math\}\n:label: *(\S+)", re.MULTILINE)


def page_of_label() -> dict[str, str]:
    """Labels of the pages' sections and equations -> addresses in the book."""
    found = {}
    for path in (ROOT / "book").glob("*.md"):
        text, page = path.read_text(encoding="utf-8"), f"{BOOK}book/{path.stem}.html"
        found |= {label: f"{page}#{label}" for label in SECTION.findall(text)}
        found |= {label: f"{page}#equation-{label}" for label in EQUATION.findall(text)}
    return found


def citations() -> dict[str, tuple[str, str]]:
    """Keys of the bibliography -> authors and year."""
    found = {}
    for key, entry in parse_file(ROOT / "book" / "references.bib").entries.items():
        names = [" ".join(person.last_names) for person in entry.persons["author"]]
        if len(names) > 2 or "others" in names:
            names = [f"{names[0]} et al."]
        found[key] = " and ".join(names), entry.fields["year"]
    return found


def address(name: str) -> str:
    """Where Colab opens an exported notebook."""
    return f"https://colab.research.google.com/github/{OWNER}/{NAME}/blob/{BRANCH}/{name}"


LABELS, CITATIONS = page_of_label(), citations()


class Export:
    """One notebook in plain Markdown; figures, equations and exercises numbered from 1."""

    def __init__(self, path: Path):
        self.path, self.notebook = path, nbformat.read(path, as_version=4)
        text = "\n".join(cell.source for cell in self.notebook.cells)
        figures = [cell.metadata.get("mystnb", {}).get("figure") for cell in self.notebook.cells]
        self.figures = [figure["name"] for figure in figures if figure]
        self.exercises, self.equations = EXERCISE.findall(text), EQUATION.findall(text)

    def role(self, match: re.Match) -> str:
        name, text = match["name"], match["text"].strip()
        target = match["target"] or text
        if name == "doc":
            page = posixpath.normpath(posixpath.join("notebooks", target))
            return f"[{text}]({BOOK}{page}.html)"
        if name == "ref":
            return f"[{text}]({LABELS[target]})"
        if name == "eq":
            if target in self.equations:
                return f"({self.equations.index(target) + 1})"
            return f"[({target})]({LABELS[target]})"
        if name == "numref":
            return f"Figure {self.figures.index(target) + 1}"
        if name in ("cite:p", "cite:t"):
            authors, year = CITATIONS[target]
            cited = f"{authors} ({year})" if name == "cite:t" else f"({authors}, {year})"
            return f"[{cited}]({BOOK}book/bibliography.html)"
        if name in ("func", "mod", "class", "data"):
            return f"`{target.removeprefix('~').rpartition('.')[2]}`"
        if name == "term":
            return text
        raise ValueError(f"{self.path.name}: the role {name} has no form in Colab")

    def directive(self, match: re.Match) -> str:
        name, title, body = match["name"], match["title"], match["body"].strip()
        label = re.search(r":label: *(\S+)", match["options"])
        if name == "math":
            tag = f"\n\\tag{{{self.equations.index(label[1]) + 1}}}" if label else ""
            return f"$$\n{body}{tag}\n$$"
        if name == "admonition":
            return "\n".join(
                f"> {line}".rstrip() for line in (f"**{title}**", "", *body.split("\n"))
            )
        if name == "exercise":
            return f"**Exercise {self.exercises.index(label[1]) + 1}.** {body}"
        if name == "solution":
            number = self.exercises.index(title) + 1
            summary = f"<summary>Solution of exercise {number}</summary>"
            return f"<details>{summary}\n\n{body}\n\n</details>"
        raise ValueError(f"{self.path.name}: the directive {name} has no form in Colab")

    def markdown(self, text: str) -> str:
        return ROLE.sub(self.role, DIRECTIVE.sub(self.directive, text))

    def cells(self) -> list:
        """The notebook's cells, each figure followed by its caption."""
        new, found = nbformat.v4, []
        for cell in self.notebook.cells:
            if cell.cell_type == "markdown":
                found.append(new.new_markdown_cell(self.markdown(cell.source), id=cell.id))
                continue
            found.append(new.new_code_cell(cell.source, id=cell.id, outputs=cell.outputs))
            if figure := cell.metadata.get("mystnb", {}).get("figure"):
                number = self.figures.index(figure["name"]) + 1
                caption = f"**Figure {number}.** {self.markdown(figure['caption'])}"
                found.append(new.new_markdown_cell(caption, id=figure["name"]))
        return found

    def write(self, folder: Path) -> None:
        picture = "https://colab.research.google.com/assets/colab-badge.svg"
        badge = f"[![Open in Colab]({picture})]({address(self.path.name)})"
        page = f"[This chapter in the book]({BOOK}notebooks/{self.path.stem}.html)"
        first, *rest = self.cells()
        self.notebook.cells = [
            first,
            nbformat.v4.new_markdown_cell(f"{badge} {page}", id="colab-badge"),
            nbformat.v4.new_code_cell(SETUP, id="colab-setup"),
            *rest,
        ]
        if self.path.stem.endswith("_gpu"):
            self.notebook.metadata["accelerator"] = "GPU"
        nbformat.validate(self.notebook)
        nbformat.write(self.notebook, folder / self.path.name)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in paths:
        Export(path).write(folder)
    print(f"wrote {len(paths)} notebooks to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "_build" / "colab")
