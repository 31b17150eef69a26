"""What must come out the same on a GPU as on the CPU; each check is an assertion that can fail."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from sotglp_core import (
    SOTGLP,
    encode,
    evaluate,
    fit,
    load,
    load_backbone,
    load_task,
    ood,
    outputs,
    prompt_loss,
    recipe,
    save,
    sinkhorn,
)
from sotglp_core.clip.backbone import Backbone
from sotglp_core.data.features import Features
from sotglp_core.method.alignment import align
from sotglp_core.transport.sinkhorn import marginal_violation

METHODS = ("sotglp", "sotglp-proj", "reference", "gallop", "plot", "coop", "locoop", "zeroshot")
NAMES = ("red finch", "blue wader", "green parrot", "grey duck", "black-crowned white-winged bird")
CPU = torch.device("cpu")
EXACT, CLOSE = 2e-6, 1e-3  # what float32 may change in a plan, and in anything that is trained


@dataclass(frozen=True)
class Card:
    """The device that is checked."""

    device: torch.device
    dry: bool  # a pretend one, at tiny sizes

    @property
    def halves(self) -> tuple[str, ...]:
        """The half precisions that it computes in."""
        return ("bf16", "fp16") if torch.cuda.get_device_capability() >= (8, 0) else ("fp16",)

    def size(self, real: int, tiny: int) -> int:
        return tiny if self.dry else real


@dataclass(frozen=True)
class Check:
    run: Callable[[Card], None]
    needs: tuple[str, ...]  # modules without which it is skipped
    pretend: bool  # whether a pretend GPU will do; a dry run takes the CPU for the others

    @property
    def name(self) -> str:
        return self.run.__name__.replace("_", " ")


CHECKS: list[Check] = []


def check(*needs: str, pretend: bool = True) -> Callable:
    """Add a function to the checks."""

    def add(run: Callable[[Card], None]) -> Callable[[Card], None]:
        CHECKS.append(Check(run, needs, pretend))
        return run

    return add


@check()
def sinkhorn_finds_the_plan_of_float64(card: Card) -> None:
    number = card.size(10_007, 13)
    for K, N, spread, epsilon in (
        (10, 4, 0.015, 0.1),
        (196, 4, 0.015, 0.1),
        (7, 3, 0.2, 0.1),
        (10, 4, 0.015, 0.01),
        (5, 3, 1.0, 1e-3),  # left to the Newton steps in the log domain
    ):
        cost = 1 - (0.25 + spread * noise(number, K, N))
        wanted = sinkhorn(cost.double(), epsilon=epsilon, tolerance=1e-9).plan
        for backend in ("torch", "triton", "auto"):
            result = sinkhorn(cost.to(card.device), epsilon=epsilon, backend=backend)
            assert result.converged.all(), f"{K} x {N}, epsilon {epsilon}, {backend}"
            same(result.plan.double(), wanted, 10 * EXACT if epsilon < 0.01 else EXACT)


@check("triton")
def the_kernel_leaves_no_easy_problem(card: Card) -> None:
    from sotglp_core.transport import kernel

    for K, N in ((10, 4), (196, 4), (33, 7)):
        cost = (1 - 0.015 * noise(card.size(100_003, 13), K, N)).to(card.device)
        a, b = cost.new_full(cost.shape[:-1], 1 / K), cost.new_full((len(cost), N), 1 / N)
        plan, reported, iterations = kernel.scale(cost, a, b, 0.1, 1e-6, 60)
        assert reported.max() <= 1e-6 and marginal_violation(plan, a, b).max() <= 1e-6
        assert iterations.max() < 12


@check()
def sinkhorn_chooses_the_kernel(card: Card) -> None:
    cost = (1 - 0.3 * noise(7, 10, 4)).to(card.device)
    chosen = "torch" if card.dry else "triton"  # the interpreter is never chosen
    auto, wanted = (sinkhorn(cost, epsilon=0.1, backend=name).plan for name in ("auto", chosen))
    assert torch.equal(auto, wanted)


@check()
def sinkhorn_has_the_same_gradient(card: Card) -> None:
    cost = 1 - 0.3 * noise(7, 10, 4)

    def gradient(device: torch.device) -> Tensor:
        leaf = cost.to(device).requires_grad_()
        plan = sinkhorn(leaf, epsilon=0.1, differentiable=True).plan
        return torch.autograd.grad(plan.square().sum(), leaf)[0]

    same(gradient(card.device), gradient(CPU), 1e-5)


@check()
def alignment_is_the_same(card: Card) -> None:
    patches, prompts = unit(3, 49, 64), unit(11, 4, 64)
    for allocation in ("ot", "uniform", "topk", "max"):

        def scored(device: torch.device, allocation: str = allocation) -> tuple[Tensor, Tensor]:
            leaf = prompts.to(device).requires_grad_()
            score = align(patches.to(device), leaf, allocation=allocation).score
            return score, torch.autograd.grad(score.square().sum(), leaf)[0]

        for ours, wanted in zip(scored(card.device), scored(CPU)):
            same(ours, wanted, 1e-5)


@check()
def both_towers_are_the_same(card: Card) -> None:
    images, texts = pixels(5), [f"a photo of a {name}." for name in NAMES]
    on_card, on_cpu = backbone(card.device), backbone(CPU)
    for dense in ("vv", "vv-shared", "value", "plain"):
        ours, wanted = (one.encode_image(images, dense=dense) for one in (on_card, on_cpu))
        same(direction(ours.image), direction(wanted.image), CLOSE)
        same(direction(ours.patches), direction(wanted.patches), CLOSE)
    plain = on_card.model.encode_image(images.to(card.device))
    same(direction(on_card.encode_image(images).image), direction(plain).cpu(), 1e-4)
    same(direction(on_card.encode_text(texts)), direction(on_cpu.encode_text(texts)), CLOSE)


@check()
def model_loss_and_gradients_are_the_same(card: Card) -> None:
    features = random_features(11)
    for method in METHODS:
        on_card, on_cpu = (
            one_step(SOTGLP(backbone(device), NAMES, recipe(method)), features)
            for device in (card.device, CPU)
        )
        for ours, wanted in zip(on_card, on_cpu):
            same(ours / wanted.norm().to(ours.device), wanted / wanted.norm(), CLOSE)


@check()
def chunks_of_prompts_change_nothing(card: Card) -> None:
    features = random_features(7)
    whole, chunked = (
        one_step(SOTGLP(backbone(card.device), NAMES, text_chunk=chunk), features)
        for chunk in (1000, 3)
    )
    for ours, wanted in zip(chunked, whole):
        same(ours, wanted.cpu(), 1e-4)


@check()
def training_ends_at_the_same_model(card: Card) -> None:
    train, test = embedded(card.dry)
    on_card, on_cpu = (trained(device, train) for device in (card.device, CPU))
    same(torch.tensor(on_card[1]), torch.tensor(on_cpu[1]), CLOSE)  # the losses
    ours, wanted = (outputs(model, test, progress=False) for model in (on_card[0], on_cpu[0]))
    same(ours.logits.softmax(-1), wanted.logits.softmax(-1), CLOSE)


@check()
def half_precision_stays_finite_and_near(card: Card) -> None:
    images, wanted = pixels(7), None
    labels = torch.arange(7) % len(NAMES)
    for precision in ("fp32", *card.halves):
        tower = backbone(card.device, precision)
        seen = tower.encode_image(images)
        features = Features(seen.image.float(), seen.patches.half(), labels, tower.grid)
        for epsilon in (0.1, 1e-3):
            config = recipe("sotglp-proj", epochs=3, epsilon=epsilon, global_dropout=0.0)
            model = SOTGLP(tower, NAMES, config)
            losses = [epoch.loss for epoch in fit(model, features, progress=False)]
            finite = [p.isfinite().all() for p in model.parameters()]
            assert all(finite) and torch.tensor(losses).isfinite().all(), precision
            wanted = wanted or losses[0]
            assert abs(losses[0] - wanted) < 0.05 * wanted, f"{precision}: {losses[0]}, {wanted}"


@check()
def prompts_are_loaded_on_either_device(card: Card) -> None:
    features, folder = random_features(7), tempfile.TemporaryDirectory()
    with folder:
        for here, there in ((card.device, CPU), (CPU, card.device)):
            model, path = SOTGLP(backbone(here), NAMES).eval(), Path(folder.name, "prompts")
            save(model, path)
            loaded = load(path, backbone(there))
            ours, wanted = (outputs(x, features, progress=False).logits for x in (loaded, model))
            same(ours.softmax(-1), wanted.softmax(-1), CLOSE)


@check()
def training_goes_on_on_either_device(card: Card) -> None:
    features = random_features(11)
    config = recipe("sotglp", epochs=4, batch_size=4)
    whole = fit(SOTGLP(backbone(CPU), NAMES, config), features, progress=False)
    for here, there in ((card.device, CPU), (CPU, card.device)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "checkpoint.safetensors")

            def stop(epoch: object, path: Path = path) -> None:
                raise KeyboardInterrupt

            try:
                model = SOTGLP(backbone(here), NAMES, config)
                fit(model, features, progress=False, checkpoint=path, on_epoch=stop)
            except KeyboardInterrupt:
                model = SOTGLP(backbone(there), NAMES, config)
            history = fit(model, features, progress=False, checkpoint=path)
        ours, wanted = ([epoch.loss for epoch in epochs] for epochs in (history, whole))
        same(torch.tensor(ours), torch.tensor(wanted), CLOSE)


@check("onnx", "onnxscript", "onnxruntime", pretend=False)
def a_graph_is_exported_from_the_card(card: Card) -> None:
    from sotglp_core.workbench.onnx import to_onnx

    images, method = load_task(shots=1).train, "coop" if card.dry else "sotglp"
    model = SOTGLP(backbone(card.device), NAMES, recipe(method)).eval()
    with tempfile.TemporaryDirectory() as folder:
        graph = to_onnx(model, Path(folder, "model.onnx"), [images[i] for i in range(2)])
    assert graph.difference <= 1e-4
    assert {p.device for p in (*model.parameters(), *model.backbone.parameters())} == {card.device}


@check("sklearn")
def ood_scores_and_metrics_are_the_same(card: Card) -> None:
    test, strange = random_features(23), random_features(19, seed=1)
    on_card, on_cpu = (
        evaluate(SOTGLP(backbone(device), NAMES).eval(), test, {"far": strange}, progress=False)
        for device in (card.device, CPU)
    )
    for name in ood.SCORES:
        same(on_card.outputs.scores[name], on_cpu.outputs.scores[name], CLOSE)
        for metric, value in on_cpu.ood["far"][name].items():
            assert abs(on_card.ood["far"][name][metric] - value) <= 0.05, f"{name}, {metric}"
    assert on_card.accuracy == on_cpu.accuracy


def same(ours: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Whether no entry differs by more; NaN never passes."""
    torch.testing.assert_close(ours.cpu(), wanted.cpu(), atol=tolerance, rtol=0)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def direction(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x.float(), dim=-1)


def unit(*shape: int) -> Tensor:
    return direction(noise(*shape))


@cache
def backbone(device: torch.device, precision: str = "fp32") -> Backbone:
    return load_backbone(device=device, precision=precision)


def pixels(number: int) -> Tensor:
    return noise(number, 3, *backbone(CPU).model.visual.image_size)


def random_features(number: int, seed: int = 0) -> Features:
    """Features of images that don't exist, on the CPU."""
    frozen = backbone(CPU)
    places = frozen.grid[0] * frozen.grid[1]
    image = noise(number, frozen.joint_width, seed=seed)
    patches = noise(number, places, frozen.patch_width, seed=seed + 100).half()
    return Features(image, patches, torch.arange(number) % len(NAMES), frozen.grid)


@cache
def embedded(tiny: bool) -> tuple[Features, Features]:
    """Training and test images of the embedded task, or of a part of it."""
    task = load_task(shots=1 if tiny else 8)
    rows = range(0, len(task.test), 40 if tiny else 4)
    sets = (task.train, task.test.subset(rows))
    train, test = (encode(backbone(CPU), images, cache=False, progress=False) for images in sets)
    return train, test


def trained(device: torch.device, train: Features) -> tuple[SOTGLP, list[float]]:
    """A model of the embedded task after a few epochs, and their losses."""
    names = load_task(shots=1).class_names
    model = SOTGLP(backbone(device), names, recipe("sotglp", epochs=5))
    return model, [epoch.loss for epoch in fit(model, train, progress=False)]


def one_step(model: SOTGLP, features: Features) -> Iterator[Tensor]:
    """Logits, loss and gradients of all images, without prompt dropout."""
    model.eval()
    device = model.backbone.device
    prediction = model(features.batch(slice(None), device))
    labels = features.labels.to(device)
    loss = prompt_loss(prediction.global_logits, prediction.local_logits, labels)
    yield prediction.logits.detach()
    yield loss.detach()
    yield from torch.autograd.grad(loss, list(model.parameters()))
