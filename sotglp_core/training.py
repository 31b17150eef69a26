"""Learn the prompts from few-shot features."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from .datasets import Images
from .features import Features, encode
from .losses import irrelevant_patch_entropy, prompt_loss
from .model import SOTGLP, Prediction
from .progress import progress_bar


class Epoch(NamedTuple):
    """One line of a training history."""

    epoch: int
    loss: float
    accuracy: float  # on the training images, with the epoch's prompt dropout
    lr: float


def fit(model: SOTGLP, train: Images | Features, *, progress: bool = True, on_epoch: Callable[[Epoch], None] | None = None) -> list[Epoch]:
    """Minimise L = CE(s g, y) + lambda CE(s u, y) + mu L_entropy by SGD with a cosine schedule, in place.

    Epochs, batch size, learning rate and seed come from ``model.config``; the model is left in evaluation mode.

    :param train: the few-shot images, or their features.
    :param on_epoch: called with every :class:`Epoch` as it ends.
    :return: the history, empty for a config of 0 epochs.
    :raises ValueError: if a label is outside the classes, a feature is not finite, or the prompts grow without bound.
    """
    config = model.config
    features = encode(model.backbone, train, shared_first_block=config.shared_first_block, progress=progress)
    features = features.to(model.backbone.device)
    if len(features) == 0 or not bool(((features.labels >= 0) & (features.labels < len(model.class_names))).all()):
        raise ValueError(f"training needs images labelled 0 to {len(model.class_names) - 1}; "
                         "check that the task and the model have the same classes")
    if not bool(features.image.isfinite().all() & features.patches.isfinite().all()):
        raise ValueError("some image features are not finite; try the backbone in fp32, and clear the feature cache")
    history: list[Epoch] = []
    if config.epochs == 0:
        model.eval()
        return history
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    model.train()
    bar = progress_bar(range(config.epochs), desc=f"train {config.preset}", unit="epoch", show=progress)
    with torch.random.fork_rng(), bar:
        torch.manual_seed(config.seed)
        for epoch in bar:
            total, right = 0.0, 0
            for index in torch.randperm(len(features)).split(config.batch_size):
                labels = features.labels[index]
                try:
                    prediction = model(features.batch(index))
                except ValueError as error:
                    if history or total:  # the first step went well, so it is the prompts
                        raise ValueError(f"training broke down in epoch {epoch + 1} ({error}); lower lr (now {config.lr})") from None
                    raise
                loss = _loss(model, prediction, labels)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if not bool(torch.stack([p.isfinite().all() for p in model.parameters()]).all()):
                    raise ValueError(f"the prompts became infinite in epoch {epoch + 1}; lower lr (now {config.lr})")
                total += loss.item() * len(index)
                right += int((prediction.logits.argmax(-1) == labels).sum())
            history.append(Epoch(epoch + 1, total / len(features), right / len(features), optimizer.param_groups[0]["lr"]))
            schedule.step()
            bar.set_postfix(loss=f"{history[-1].loss:.3f}", accuracy=f"{history[-1].accuracy:.3f}")
            if on_epoch:
                on_epoch(history[-1])
    model.eval()
    return history


def _loss(model: SOTGLP, prediction: Prediction, labels: torch.Tensor) -> torch.Tensor:
    config = model.config
    loss = prompt_loss(prediction.global_logits, prediction.local_logits, labels, local_weight=config.local_weight)
    if config.entropy_weight:
        patch_logits = model.backbone.logit_scale * prediction.patch_similarity.mT
        loss = loss + config.entropy_weight * irrelevant_patch_entropy(patch_logits, labels, rank=config.entropy_rank)
    return loss
