"""Images that the caller holds: lists of Pillow's, and torchvision's datasets."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset
from torchvision import datasets, transforms

from sotglp_core import SOTGLP, encode, evaluate, fit, load_task, recipe
from sotglp_core.data import FolderImages
from sotglp_core.data.images import held_images

CLASSES = ("cup", "emu", "lotus")


@pytest.fixture
def folder(tmp_path):
    """Seven photos of each class."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for i in range(7):
            pixels = rng.integers(0, 255, (60 + i, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


@pytest.mark.slow
def test_datasets_and_lists_are_the_photos_of_their_files(tiny, folder):
    dataset = datasets.ImageFolder(folder)
    files = FolderImages([path for path, _ in dataset.samples], dataset.targets)
    wanted = encode(tiny, files)
    pairs = [(image.convert("RGBA"), label) for image, label in dataset]
    for given in (dataset, pairs, Subset(dataset, range(21))):
        found = encode(tiny, given)
        assert torch.equal(found.image, wanted.image) and torch.equal(found.labels, wanted.labels)
    assert held_images([image for image, _ in pairs]).labels.tolist() == [-1] * 21


def test_labels_of_a_dataset_are_read_without_its_images():
    class Photos:
        targets = [0, 1, 1]

        def __len__(self):
            return 3

        def __getitem__(self, i):
            raise AssertionError("an image is read")

    assert held_images(Photos()).labels.tolist() == [0, 1, 1]


@pytest.mark.slow
def test_a_whole_run(tiny, folder):
    dataset = datasets.ImageFolder(folder)
    alone = load_task(dataset, shots=2)
    assert alone.class_names == CLASSES and alone.name == "ImageFolder"
    assert [len(x) for x in (alone.train, alone.val, alone.test)] == [6, 3, 6]
    task = load_task({"train": dataset, "test": dataset}, shots=2)
    assert [len(x) for x in (task.train, task.val, task.test)] == [6, 0, 21]
    model = SOTGLP(tiny, CLASSES, recipe("coop", epochs=1, batch_size=4))
    fit(model, task.train, progress=False)
    fit(model, list(dataset), progress=False)
    ood = [Image.new("RGB", (70, 70), colour) for colour in ("red", "blue")]
    result = evaluate(model, list(dataset), {"plain": ood}, progress=False)
    assert result.accuracy == evaluate(model, task.test, progress=False).accuracy
    assert set(result.ood) == {"plain", "mean"}


@pytest.mark.parametrize(
    "given, classes, said",
    [
        ([(Image.new("RGB", (9, 9)), 0)], None, "name the classes of these images"),
        ([(Image.new("RGB", (9, 9)), 2)], ("a", "b"), "a label is beyond the 2 classes, a, b"),
        ([(Image.new("RGB", (9, 9)), "cup")], ("a", "b"), "a label is no integer"),
        ({"training": []}, ("a", "b"), "no part 'training'; give train, test"),
        ([], ("a", "b"), "list has no test images"),
    ],
)
def test_what_makes_no_task(given, classes, said):
    with pytest.raises(ValueError, match=said):
        load_task(given, classes=classes)


def test_transformed_images_are_refused(tiny, folder):
    dataset = datasets.ImageFolder(folder, transform=transforms.ToTensor())
    with pytest.raises(ValueError, match="image 0 is a Tensor; give images of Pillow"):
        encode(tiny, dataset)
