"""The chapter on real CLIP, which no build executes, on miniatures of its data sets and an
untrained backbone.
"""

import json

import nbformat
import pytest
import test_catalogue
from test_catalogue import CATALOGUE, make, picture
from test_notebooks import ROOT, code_cells

import sotglp_core
from sotglp_core.config import PRESETS
from sotglp_core.data import download
from sotglp_core.workbench import experiments

CELLS = {
    cell.id: cell.source
    for cell in code_cells(
        nbformat.read(ROOT / "notebooks" / "12_real_clip_gpu.ipynb", as_version=4)
    )
}
DATASETS = ("eurosat", "dtd")
OOD_SETS = ("inaturalist", "sun", "places", "textures")


@pytest.fixture
def stand_ins(tmp_path, monkeypatch, tiny):
    """The two data sets, ImageNet, its OOD sets and the backbone, all small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(test_catalogue, "TEN", range(1, 33))
    for name in (*DATASETS, "imagenet"):
        make(CATALOGUE[name], tmp_path / "data")
    for name in OOD_SETS:
        for i in range(3):
            picture(tmp_path / "data" / CATALOGUE[name].folder / "images" / f"{i}.jpg")
    monkeypatch.setattr(sotglp_core, "load_backbone", lambda *_, **__: tiny)
    monkeypatch.setattr(download, "get", lambda *_: None)
    for name in PRESETS:
        monkeypatch.setitem(PRESETS, name, {**PRESETS[name], "epochs": int(name != "zeroshot")})


def run(namespace):
    for source in list(CELLS.values())[:-1]:
        exec(source, namespace)


@pytest.mark.slow
def test_every_cell_runs_and_goes_on_where_it_stopped(stand_ins, monkeypatch, capsys):
    first, second = {}, {}
    run(first)
    assert len(first["runs"]) == 12 and all(missing == 1 for _, missing, _ in first["costs"])
    files = {path.name: path.read_text() for path in first["RESULTS"].iterdir()}
    assert {name: text.count("\n") for name, text in files.items()} == {
        "eurosat.jsonl": 6,
        "dtd.jsonl": 6,
        "imagenet.jsonl": 6,
    }
    row = json.loads(files["eurosat.jsonl"].splitlines()[-1])
    assert row["label"] == "eurosat, uniform plan" and row["settings"]["allocation"] == "uniform"
    assert row["sources"]["allocation"] == "given" and row["draw"] == "stratified"
    assert len(row["split"]) == 64 and row["environment"]["device"] == "cpu"
    said = capsys.readouterr().out
    assert "with projection: accuracy" in said and "94.2" in said and "85.1" in said
    assert "published: 84.93" in said and "published: no counterpart" in said
    with pytest.raises(AssertionError):  # equal pictures can't bear the claim out
        exec(list(CELLS.values())[-1], first)
    monkeypatch.setattr(experiments, "fit", lambda *_, **__: pytest.fail("not made again"))
    run(second)
    assert all(missing == 0 for _, missing, _ in second["costs"])
    assert {label: list(values) for label, values in second["accuracy"].items()} == {
        label: list(values) for label, values in first["accuracy"].items()
    }
