"""Image features of photos, from the command line."""

import numpy as np
import pytest
import torch
from commands import run
from PIL import Image


@pytest.mark.slow
def test_features_are_clips_own(monkeypatch, capsys, photos, pocket, tmp_path):
    """Of the files that can be read, in their order."""
    (photos / "03a.png").write_text("no image")
    given = (photos, "--out", tmp_path / "f.npz")
    code, _, err = run(monkeypatch, capsys, "embed", *given)
    assert code == 2 and "03a.png" in err and "--skip-corrupt" in err
    assert not (tmp_path / "f.npz").exists()
    code, out, err = run(monkeypatch, capsys, "embed", *given, "--skip-corrupt")
    assert code == 0 and "wrote" in out and "12 photos" in out and "skipped" in err
    files = sorted(path for path in photos.iterdir() if path.name != "03a.png")
    pixels = torch.stack([pocket.preprocess(Image.open(path).convert("RGB")) for path in files])
    with torch.no_grad():
        wanted = pocket.model.encode_image(pixels)
    found = np.load(tmp_path / "f.npz")
    assert found["files"].tolist() == [str(path) for path in files]
    torch.testing.assert_close(torch.from_numpy(found["features"]), wanted)


@pytest.mark.parametrize("out, said", [("f.csv", "does not end in .npz"), ("f.npz", "none of the")])
def test_what_can_not_be_written(monkeypatch, capsys, tmp_path, out, said):
    (tmp_path / "a.png").write_text("no image")
    given = (tmp_path / "a.png", "--out", tmp_path / out, "--skip-corrupt")
    code, _, err = run(monkeypatch, capsys, "embed", *given)
    assert code == 2 and said in err
