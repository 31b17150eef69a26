"""--precision and --device: what a run was trained in, and what its prompts are used in."""

import json

import numpy as np
import pytest
from commands import run
from PIL import Image
from pretend_cuda import pretend_cuda


@pytest.fixture
def folder(tmp_path):
    """Five photos of each of two colours."""
    rng = np.random.default_rng(0)
    for name, colour in {"red": (200, 40, 40), "blue": (40, 40, 200)}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            pixels = np.clip(np.array(colour) + rng.normal(0, 40, (48, 64, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{i}.jpg")
    return tmp_path


def train(monkeypatch, capsys, folder, *words):
    photos, out = folder / "photos", folder / "run"
    quick = ("--data", photos, "--shots", 1, "--out", out, "--set", "epochs=1", "--json")
    code, printed, err = run(monkeypatch, capsys, "train", *quick, *words)
    assert code == 0, err
    return json.loads((out / "config.json").read_text()), json.loads(printed)


@pytest.mark.slow
def test_prompts_trained_in_one_precision_are_used_in_another(folder, monkeypatch, capsys):
    settings, result = train(monkeypatch, capsys, folder, "--precision", "bf16")
    assert settings["precision"] == "bf16"
    answers = []
    for words in ((), ("--precision", "fp32")):
        photo = folder / "photos" / "red" / "0.jpg"
        asked = ("predict", folder / "run", photo, *words, "--json")
        code, printed, err = run(monkeypatch, capsys, *asked)
        assert code == 0, err
        answers.append(json.loads(printed)["probability"])
    assert answers[0] != answers[1] and answers[0] == pytest.approx(answers[1], abs=0.02)
    code, printed, _ = run(monkeypatch, capsys, "evaluate", folder / "run", "--json")
    assert code == 0 and json.loads(printed) == result, "in the precision of training"


@pytest.mark.slow
def test_a_run_says_what_auto_was(folder, monkeypatch, capsys):
    with pretend_cuda():
        settings, _ = train(monkeypatch, capsys, folder)
        assert settings["precision"] == "fp32" and settings["device"] == "auto"
        machine = json.loads((folder / "run" / "environment.json").read_text())
        assert machine["device"].startswith("cuda") and machine["processor"] == "a pretend GPU"
        code, on_card, err = run(monkeypatch, capsys, "evaluate", folder / "run", "--json")
        assert code == 0, err
    options = ("--device", "cpu", "--json")
    code, here, _ = run(monkeypatch, capsys, "evaluate", folder / "run", *options)
    there, here = json.loads(on_card), json.loads(here)
    assert code == 0 and there["accuracy"] == here["accuracy"]


def test_one_line_for_a_precision_that_there_is_not(folder, monkeypatch, capsys):
    for words in (("bench",), ("train", "--data", folder / "photos", "--shots", 1)):
        code, _, err = run(monkeypatch, capsys, *words, "--precision", "fp8")
        assert code == 2 and "precision is 'fp8'; choose one of auto, fp32" in err
