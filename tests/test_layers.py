"""The floors of the house: a module imports only from lower floors, and only backbone imports
open_clip.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "sotglp_core"
FLOORS = [
    ["config", "recipes", "storage", "messages", "distributed"],
    ["clip", "transport", "figures"],
    ["method", "pocket"],
    ["data"],
    ["judging"],
    ["learning", "inspector"],
    ["workbench"],
    ["cli"],
]
WITHIN = {("config", "messages")}  # rooms of one floor that may call each other, in one direction
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def room_of(parts):
    dotted = ".".join(parts)
    return dotted if dotted in FLOOR else parts[0]


def imports(path):
    """(room, module) pairs: what of this package, and what from outside, a file imports."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((None, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield None, node.module
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            if node.module:
                yield room_of((*base, *node.module.split("."))), None
            else:
                yield from (
                    (room_of((*base, alias.name)), None)
                    for alias in node.names
                    if (*base, alias.name)[0] in FLOOR
                )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_from_lower_floors(path):
    relative = path.relative_to(ROOT).with_suffix("").parts
    here = room_of(relative)
    assert here in FLOOR, f"{here} has no floor: add it to FLOORS"
    for room, module in imports(path):
        if room is not None and room != here:
            assert (
                FLOOR[room] < FLOOR[here]
                or {here, room} == {"recipes", "config"}
                or (here, room) in WITHIN
            ), f"{here} (floor {FLOOR[here]}) imports {room} (floor {FLOOR[room]})"
        if module and module.split(".")[0] == "open_clip":
            assert path.name == "backbone.py", f"{path.name} imports open_clip"


def test_within_a_floor_there_is_no_cycle():
    assert all((b, a) not in WITHIN for a, b in WITHIN)


def test_config_stops_at_the_model():
    for path in FILES:
        here = room_of(path.relative_to(ROOT).with_suffix("").parts)
        if here != "recipes" and FLOOR[here] < FLOOR["method"]:
            assert all(room != "config" for room, _ in imports(path)), f"{here} imports config"


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_is_one_idea(path):
    assert len(path.read_text().splitlines()) <= 480
