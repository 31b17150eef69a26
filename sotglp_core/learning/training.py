"""Learn the prompts from few-shot features."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..clip.backbone import ImageFeatures
from ..data import Images
from ..data.features import Features, encode
from ..distributed import Processes
from ..judging.evaluation import labels_of
from ..messages import progress_bar
from ..method.losses import training_loss
from ..method.model import SOTGLP, Prediction
from .checkpoint import Checkpoint, Epoch
from .memory import choose_text_chunk, with_less_memory

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
    precision = accelerator.autocast if accelerator else nullcontext
    progress = progress and processes.rank == 0
    features = _encode(model, train, processes, progress)
    model.train()
    model.text_chunk = model.text_chunk or choose_text_chunk(model)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, config.epochs))
    fp16 = "fp16" in (model.backbone.precision, getattr(accelerator, "mixed_precision", "no"))
    scaler = torch.amp.GradScaler(features.image.device.type, init_scale=1024, enabled=fp16)
    saved = Checkpoint(checkpoint, model, train, optimizer, schedule, scaler, processes)

    def backward(batch: ImageFeatures, labels: Tensor, mask: Tensor | None) -> Any:
        with precision():
            prediction = model(batch, model.text_features(processes.encode_sharded), mask)
            loss = training_loss(prediction, labels, config)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        return loss, prediction

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
                loss, prediction = with_less_memory(model, backward, batch, labels, mask)
                processes.average_gradients(model.parameters())
                scaler.step(optimizer)
                scaler.update()
                _check(model, prediction, epoch)
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
    """The features of all images, each encoded by one process, on the model's device."""
    shard = encode(
        model.backbone,
        processes.subset(train),
        dense=model.config.dense,
        views=1 if model.config.crops == "fresh" else 1 + model.config.crops,
        seed=model.config.seed,
        progress=progress,
    ).to(model.backbone.device)
    image, patches = (processes.gather(x, len(train)).flatten(0, 1) for x in shard.by_image())
    labels = processes.gather(shard.labels, len(train))
    features = Features(image, patches, labels, shard.grid, shard.dense)
    labels_of(model, features)
    if not image.isfinite().all():
        raise ValueError(
            "some image features are not finite; "
            "try the backbone in fp32, and clear the feature cache"
        )
    return features


def _check(model: SOTGLP, prediction: Prediction, epoch: int) -> None:
    converged = getattr(prediction.alignment, "converged", None)
    if epoch == 1 and converged is not None and not converged.all():
        warnings.warn("some transport plans have not converged; raise epsilon", stacklevel=3)
    if not all(bool((parameter.abs() < LIMIT).all()) for parameter in model.parameters()):
        raise ValueError(
            f"the prompts grew without bound in epoch {epoch}; lower lr (now {model.config.lr})"
        )
