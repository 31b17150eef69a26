"""Learn the prompts from a few images of each class."""

import math
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ..clip.backbone import ImageFeatures
from ..config import Config
from ..data import Images
from ..data.features import Features, images_of
from ..distributed import Processes
from ..messages import progress_bar
from ..method.losses import training_loss
from ..method.model import SOTGLP, Prediction
from .checkpoint import Checkpoint, Epoch
from .memory import choose_text_chunk, with_less_memory
from .source import training_batches

WARMUP_LR = 1e-5
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

    :param train: the few-shot images, see also :func:`~sotglp_core.data.images.held_images`; or
        their features, except for fresh crops.
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
    config, processes, train = model.config, Processes(accelerator), images_of(train)
    progress = progress and processes.rank == 0
    batches = training_batches(model, train, processes, progress)
    model.train()
    model.text_chunk = model.text_chunk or choose_text_chunk(model)
    optimizer = torch.optim.SGD(  # at a rate that each epoch sets
        model.parameters(), momentum=config.momentum, weight_decay=config.weight_decay
    )
    fp16 = "fp16" in (model.backbone.precision, getattr(accelerator, "mixed_precision", "no"))
    scaler = torch.amp.GradScaler(model.backbone.device.type, init_scale=1024, enabled=fp16)
    saved = Checkpoint(checkpoint, model, train, optimizer, scaler, processes)

    def backward(batch: ImageFeatures, labels: Tensor, mask: Tensor | None) -> Any:
        with accelerator.autocast() if accelerator else nullcontext():
            prediction = model(batch, model.text_features(processes.encode_sharded), mask)
            loss = training_loss(prediction, labels, config)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        return loss, prediction

    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        history = saved.restore()
        done, total, name = len(history), config.epochs, f"train {config.preset}"
        left, shown = range(done + 1, total + 1), {"initial": done, "total": total}
        epochs = progress_bar(left, desc=name, unit="epoch", show=progress, **shown)
        for epoch in epochs:
            optimizer.param_groups[0]["lr"] = lr = learning_rate(config, epoch)
            losses, accuracies = [], []
            for labels, batch in batches(epoch):
                mask = model.sample_prompt_mask(len(labels))
                loss, prediction = with_less_memory(model, backward, batch, labels, mask)
                processes.average_gradients(model.parameters())
                scaler.step(optimizer)
                scaler.update()
                _check(model, prediction, epoch)
                losses.append(loss.item())
                accuracies.append((prediction.logits.argmax(-1) == labels).float().mean().item())
            history.append(Epoch(epoch, fmean(losses), fmean(accuracies), lr))
            saved.save(history)
            epochs.set_postfix(loss=f"{fmean(losses):.3f}", accuracy=f"{fmean(accuracies):.3f}")
            if on_epoch:
                on_epoch(history[-1])
    model.eval()
    return history


def learning_rate(config: Config, epoch: int) -> float:
    """lr_t = lr / 2 * (1 + cos(pi (t - warmup) / epochs)), and 1e-5 while t < warmup.

    :param epoch: t + 1, counted from 1.

    Source: Dassl's constant warm-up, after which the cosine begins at its beginning.
    """
    done = epoch - 1 - config.warmup
    if done < 0:
        return WARMUP_LR
    return config.lr / 2 * (1 + math.cos(math.pi * done / config.epochs))


def _check(model: SOTGLP, prediction: Prediction, epoch: int) -> None:
    converged = getattr(prediction.alignment, "converged", None)
    if epoch == 1 and converged is not None and not converged.all():
        warnings.warn("some transport plans have not converged; raise epsilon", stacklevel=3)
    if not all(bool((parameter.abs() < LIMIT).all()) for parameter in model.parameters()):
        raise ValueError(
            f"the prompts grew without bound in epoch {epoch}; lower lr (now {model.config.lr})"
        )
