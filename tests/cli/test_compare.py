"""`sotglp compare`: every row is trained once and kept, and the table is the rows' mean and
deviation.
"""

import json

import numpy as np
import pytest
from commands import run
from PIL import Image

from sotglp_core import SOTGLP, evaluate, fit, load_task, recipe
from sotglp_core.cli.compare import MEASURES
from sotglp_core.clip import backbone
from sotglp_core.workbench import experiments


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes that differ in colour, and a folder of something else."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, colour in {
        "photos/red": (200, 60, 60),
        "photos/blue": (60, 60, 200),
        "other": (60, 200, 60),
    }.items():
        (root / name).mkdir(parents=True)
        for i in range(8):
            pixels = np.clip(np.array(colour) + rng.normal(0, 60, (30, 40, 3)), 0, 255).astype(
                np.uint8
            )
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def trained(tiny, monkeypatch):
    """Names and seeds of what is trained, in order."""
    monkeypatch.setattr(backbone, "load_backbone", lambda *_, **__: tiny)
    seen = []

    def noted(model, train, **settings):
        seen.append((model.config.preset, len(train), model.config.seed))
        return fit(model, train, **settings)

    monkeypatch.setattr(experiments, "fit", noted)
    return seen


def called(monkeypatch, capsys, data, out, *more):
    settings = ("--set", "epochs=1", "--set", "batch_size=4")
    return run(
        monkeypatch,
        capsys,
        "compare",
        "--data",
        data / "photos",
        "--ood",
        data / "other",
        "--out",
        out,
        *settings,
        *more,
    )


@pytest.mark.slow
def test_rows_are_kept_and_are_what_fit_and_evaluate_say(
    trained, tiny, data, monkeypatch, capsys, tmp_path
):
    arguments = ("--presets", "sotglp,coop", "--shots", "2,1", "--seeds", "2", "--json")
    code, out, _ = called(monkeypatch, capsys, data, tmp_path, *arguments)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and trained == [
        (name, 2 * k, seed) for name in ("sotglp", "coop") for k in (1, 2) for seed in (1, 2)
    ]
    assert [(row["label"], 2 * row["shots"], row["seed"]) for row in rows] == trained
    assert (tmp_path / "results.jsonl").read_text() == out
    assert all(Image.open(tmp_path / name).width > 500 for name in ("tradeoff.png", "shots.png"))

    task = load_task(data / "photos", shots=2, seed=2, ood=data / "other")
    model = SOTGLP(tiny, task.class_names, recipe("coop").replace(epochs=1, batch_size=4, seed=2))
    fit(model, task.train, progress=False)
    result = evaluate(model, task.test, task.ood, progress=False)
    found = result.ood["mean"]["GL-MCM"]
    assert tuple(rows[-1][key] for key in MEASURES) == (
        result.accuracy,
        found["auroc"],
        found["fpr95"],
    )

    trained.clear()
    assert called(monkeypatch, capsys, data, tmp_path, *arguments)[1] == out and trained == []
    lines = (tmp_path / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "results.jsonl").write_text("".join(lines[:3]))  # as if it had been interrupted
    assert called(monkeypatch, capsys, data, tmp_path, *arguments)[1] == out and len(trained) == 5
    trained.clear()
    called(
        monkeypatch,
        capsys,
        data,
        tmp_path,
        "--presets",
        "coop",
        "--shots",
        "1",
        "--seeds",
        "1",
        "--set",
        "lr=0.1",
        "--json",
    )
    assert trained == [("coop", 2, 1)] and (tmp_path / "results.jsonl").read_text().startswith(
        out
    ), "another setting is another row"


def test_the_table_is_the_mean_and_deviation(trained, data, monkeypatch, capsys, tmp_path):
    code, out, _ = called(
        monkeypatch, capsys, data, tmp_path, "--presets", "coop", "--shots", "1", "--seeds", "3"
    )
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    for measure in MEASURES:
        values = 100 * np.array([row[measure] for row in rows])
        assert f"{values.mean():.1f}\u00a0±\u00a0{values.std(ddof=1):.1f}" in out
    assert (
        code == 0
        and "deviation of 3 seeds; 4 test images" in out
        and not (tmp_path / "shots.png").exists()
    )


def test_other_photos_are_other_rows(trained, data, monkeypatch, capsys, tmp_path):
    """Without OOD sets there is no detection to speak of, and no trade-off."""
    arguments = (
        "compare",
        "--data",
        data / "photos",
        "--presets",
        "zeroshot",
        "--shots",
        "1",
        "--seeds",
        "1",
        "--out",
        tmp_path,
    )
    code, out, _ = run(monkeypatch, capsys, *arguments)
    assert (
        code == 0
        and "AUROC" not in out
        and "one seed" in out
        and not (tmp_path / "tradeoff.png").exists()
        and len(trained) == 1
    )
    run(monkeypatch, capsys, *arguments)
    assert len(trained) == 1
    run(monkeypatch, capsys, *arguments, "--ood", data / "other")
    assert len(trained) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--presets", "sotglp,cop"], "did you mean 'coop'"),
        (["--presets", ","], "at least one preset"),
        (["--shots", "4,x"], "positive integers"),
        (["--shots", "0"], "positive integers"),
        (["--set", "epochz=3"], "did you mean 'epochs'"),
        (["--shots", "9"], "images to train on"),
    ],
)
def test_mistakes(arguments, message, trained, data, monkeypatch, capsys, tmp_path):
    code, _, err = called(monkeypatch, capsys, data, tmp_path / "out", *arguments)
    assert (
        code == 2
        and message in err
        and len(err.strip().splitlines()) == 1
        and not trained
        and not (tmp_path / "out").exists()
    )


def test_a_file_of_something_else_is_left_alone(trained, data, monkeypatch, capsys, tmp_path):
    for content in ("junk\n", '{"a": 1}\n', "[1]\n"):
        (tmp_path / "results.jsonl").write_text(content)
        code, _, err = called(
            monkeypatch, capsys, data, tmp_path, "--presets", "coop", "--shots", "1"
        )
        assert (
            code == 2
            and "does not hold runs" in err
            and (tmp_path / "results.jsonl").read_text() == content
        )
