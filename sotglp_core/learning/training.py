"""Learn the prompts from few-shot features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..data import Images
from ..data.features import Features, encode
from ..distributed import Processes
from ..messages import progress_bar
from ..method.losses import training_loss
from ..method.model import SOTGLP
from .checkpoint import Checkpoint, Epoch

LIMIT = 1e4  # no entry of a prompt that has learned anything comes near it


def fit(
    model: SOTGLP,
    train: Images | Features,
    *,
    progress: bool = True,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint: str | Path | None = None,
    accelerator: Any = None,
) -> list[Epoch]:
    """Minimise L = CE(s g, y) + lambda CE(s u, y) + mu L_entropy by SGD with a cosine schedule.

    Epochs, batch size, learning rate and seed come from ``model.config``; the model learns in place
    and is left in evaluation mode.

    :param train: the few-shot images, or their features.
    :param on_epoch: called with every :class:`Epoch` as it ends, after its checkpoint is written.
    :param checkpoint: a file for all that training needs to go on, written before the first epoch
        and after each one. Where it exists, training goes on from it, on one processor and as many
        threads to the same bits as without the interruption.
    :param accelerator: an ``accelerate.Accelerator``: its precision holds for the text tower, and
        its processes share the encoding of images and prompts. None: this process alone.
    :return: the history, empty for a config of 0 epochs.
    :raises ValueError: if a label is outside the classes, a feature is not finite, the prompts grow
        without bound, or ``checkpoint`` can't be written or belongs to another training.
    """
    config, processes = model.config, Processes(accelerator)
    progress = progress and processes.rank == 0
    features = _encode(model, train, processes, progress).to(model.backbone.device)
    _check(features, len(model.class_names))
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, config.epochs))
    scaler = _scaler(model, accelerator)
    saved = Checkpoint(
        checkpoint,
        model,
        train,
        optimizer=optimizer,
        schedule=schedule,
        scaler=scaler,
        processes=processes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        history = saved.restore()
        epochs = progress_bar(
            range(len(history) + 1, config.epochs + 1),
            initial=len(history),
            total=config.epochs,
            desc=f"train {config.preset}",
            unit="epoch",
            show=progress,
        )
        for epoch in epochs:
            total_loss, correct = 0.0, 0
            for index in torch.randperm(len(features)).split(config.batch_size):
                mask = model.sample_prompt_mask(len(index))
                batch = features.batch(index, view=features.draw_views(len(index)))
                labels = features.labels[index]
                with processes.autocast():
                    prediction = model(batch, model.text_features(processes.encode_sharded), mask)
                    loss = training_loss(prediction, labels, config)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                processes.average_gradients(model.parameters())
                scaler.step(optimizer)
                scaler.update()
                _check_growth(model, epoch)
                total_loss += loss.item() * len(index)
                correct += int((prediction.logits.argmax(-1) == labels).sum())
            n, lr = len(features), optimizer.param_groups[0]["lr"]
            history.append(Epoch(epoch, total_loss / n, correct / n, lr))
            schedule.step()
            saved.save(history)
            epochs.set_postfix(loss=f"{total_loss / n:.3f}", accuracy=f"{correct / n:.3f}")
            if on_epoch:
                on_epoch(history[-1])
    model.eval()
    return history


def _encode(
    model: SOTGLP, train: Images | Features, processes: Processes, progress: bool
) -> Features:
    """The features of all images, each encoded by one process."""
    if isinstance(train, Features):
        return train
    config, number = model.config, len(train)
    mine = range(number)[processes.shard(number)]
    shard = encode(
        model.backbone,
        train if processes.number == 1 else train.subset(mine),
        shared_first_block=config.shared_first_block,
        views=config.views,
        seed=config.seed,
        progress=progress,
    )
    if processes.number == 1:
        return shard
    shard = shard.to(model.backbone.device)
    image, patches = (processes.gather(x, number).flatten(0, 1) for x in shard.by_image())
    return Features(image, patches, processes.gather(shard.labels, number), shard.grid)


def _check(features: Features, classes: int) -> None:
    labels = features.labels
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"training needs images labelled 0 to {classes - 1}; "
            "check that the task and the model have the same classes"
        )
    if not features.image.isfinite().all() or not features.patches.isfinite().all():
        raise ValueError(
            "some image features are not finite; "
            "try the backbone in fp32, and clear the feature cache"
        )


def _scaler(model: SOTGLP, accelerator: Any) -> torch.amp.GradScaler:
    """Scales the losses of a backbone in fp16, so that small gradients do not vanish."""
    fp16 = model.backbone.dtype == torch.float16 or (
        accelerator and accelerator.mixed_precision == "fp16"
    )
    return torch.amp.GradScaler(model.backbone.device.type, init_scale=1024, enabled=bool(fp16))


def _check_growth(model: SOTGLP, epoch: int) -> None:
    if not all(bool((parameter.abs() < LIMIT).all()) for parameter in model.parameters()):
        raise ValueError(
            f"the prompts grew without bound in epoch {epoch}; lower lr (now {model.config.lr})"
        )
