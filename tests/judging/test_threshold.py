"""Known or unknown: the threshold admits what it promises, and survives being saved."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sotglp_core import SOTGLP, load, preset, save
from sotglp_core.judging.evaluation import outputs
from sotglp_core.judging.threshold import OODThreshold, fit_threshold
from sotglp_core.storage import load_tensors, save_tensors

RAMP = tuple(map(float, range(101)))


def held_out(monkeypatch, scores):
    """A calibration on images of these scores."""
    known = SimpleNamespace(scores={"GL-MCM": torch.tensor(scores, dtype=torch.float64)})
    monkeypatch.setattr("sotglp_core.judging.threshold.outputs", lambda *_, **__: known)
    return fit_threshold(SimpleNamespace(config=preset("sotglp")), None, source="numbers")


@pytest.mark.parametrize("n", [1, 2, 7, 19, 20, 100, 101, 384])
def test_keeps_at_least_the_share_and_no_larger_threshold_does(monkeypatch, n):
    scores = np.random.default_rng(n).permutation(n).astype(float)
    calibration = held_out(monkeypatch, scores.tolist())
    for percent in range(1, 100):
        threshold = calibration.at(percent / 100)
        assert 100 * (scores >= threshold).sum() >= percent * n
        assert 100 * (scores > threshold + 0.5).sum() < percent * n


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.floats(0.001, 0.999))
def test_ties_and_rates_between_whole_per_cents(scores, tpr):
    with pytest.MonkeyPatch.context() as patch:
        kept = np.mean(np.array(scores) >= held_out(patch, [float(s) for s in scores]).at(tpr))
    assert kept >= tpr - 1e-9


def test_rounding_in_a_batch_of_another_size_makes_no_known_image_unknown(tiny, names, features):
    model = SOTGLP(tiny, names, preset("sotglp")).eval()
    threshold = fit_threshold(model, features, source="noise", progress=False).at(0.99)
    for i in range(len(features)):
        seen = outputs(model, features.subset([i]), progress=False)
        assert float(seen.scores["GL-MCM"]) >= threshold
    for score in (0.02, -3.0):
        threshold = OODThreshold("MCM", (score,) * 101, 1, "x").at(0.95)
        assert score - 3e-6 * abs(score) < threshold < score - 1e-8 * abs(score)


@pytest.mark.parametrize("tpr", [0, 1, -0.1, 1.5, 95, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(tpr):
    with pytest.raises(ValueError, match="between 0 and 1"):
        OODThreshold("MCM", RAMP, 3, "x").at(tpr)


@pytest.mark.parametrize(
    "change",
    [
        {"score": "fame"},
        {"quantiles": RAMP[:100]},
        {"quantiles": RAMP[::-1]},
        {"quantiles": (*RAMP[:100], float("nan"))},
        {"quantiles": None},
        {"quantiles": ["a"] * 101},
        {"images": 0},
        {"images": None},
        {"score": []},
    ],
)
def test_nonsense_is_refused(change):
    good = OODThreshold("MCM", RAMP, 3, "x")
    record = json.loads(json.dumps(vars(good)))
    assert OODThreshold(**record) == good
    with pytest.raises((ValueError, TypeError)):
        OODThreshold(**{**record, **change})


@pytest.mark.parametrize("name, score", [("sotglp", "GL-MCM"), ("coop", "MCM")])
def test_the_score_is_that_of_evaluation(tiny, names, features, name, score):
    model = SOTGLP(tiny, names, preset(name)).eval()
    calibration = fit_threshold(model, features, source="noise", progress=False)
    scores = outputs(model, features, progress=False).scores[score].sort().values.tolist()
    assert (calibration.score, calibration.images, calibration.source) == (score, 11, "noise")
    assert calibration.quantiles[0] == scores[0] and calibration.quantiles[-1] == scores[-1]
    assert calibration.quantiles[50] == scores[5] and set(calibration.quantiles) == set(scores)


def test_saved_with_the_prompts_and_absent_from_older_files(tiny, names, features, tmp_path):
    model = SOTGLP(tiny, names).eval()
    assert model.threshold is None
    calibration = fit_threshold(model, features, source="noise", progress=False)
    save(model, tmp_path / "with", calibration)
    save(model, tmp_path / "without")
    assert load(tmp_path / "with", tiny).threshold == calibration
    assert load(tmp_path / "without", tiny).threshold is None
    tensors, record = load_tensors(tmp_path / "with")
    for key in ("threshold", "text_free"):
        del record[key]
    save_tensors(tmp_path / "older", tensors, record)
    assert load(tmp_path / "older", tiny).threshold is None


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": {"score": "MCM"}},
        {"threshold": 7},
        {"backbone": None},
        {"backbone": {}},
        {"config": []},
        {"config": {"epochs": "x"}},
        {"class_names": 5},
        {"class_names": None},
        {"class_names": [1, 2, 3]},
        {"text_free": True},
        {"backbone": {"name": 3, "pretrained": 4}},
    ],
)
def test_a_tampered_record_is_one_clear_error(tiny, names, tmp_path, change):
    save(SOTGLP(tiny, names), tmp_path / "p")
    tensors, record = load_tensors(tmp_path / "p")
    save_tensors(tmp_path / "q", tensors, {**record, **change})
    with pytest.raises(ValueError) as error:
        load(tmp_path / "q")
    assert len(str(error.value).splitlines()) == 1
