"""Learn the prompts from few-shot features."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import Images
from ..data.features import Features, encode
from ..distributed import Processes
from ..messages import progress_bar
from ..method.losses import irrelevant_patch_entropy, prompt_loss
from ..method.model import SOTGLP, PromptMask, TextFeatures
from .state import Epoch, TrainingState, identity


def fit(
    model: SOTGLP,
    train: Images | Features,
    *,
    progress: bool = True,
    on_epoch: Callable[[Epoch], None] | None = None,
    state: str | Path | None = None,
    accelerator: Any = None,
) -> list[Epoch]:
    """Minimise L = CE(s g, y) + lambda CE(s u, y) + mu L_entropy by SGD with a cosine schedule, in place.

    Epochs, batch size, learning rate and seed come from ``model.config``; the model is left in evaluation mode. The losses of a
    backbone in fp16 are scaled, so that small gradients do not vanish.

    :param train: the few-shot images, or their features.
    :param on_epoch: called with every :class:`Epoch` as it ends, after its state is saved.
    :param state: a file for all that training needs to go on, written before the first epoch, after each one, and when a signal asks to
        stop (SIGINT, SIGTERM, SIGHUP; in the main thread): then after the step. Where the file is there, training goes on from it, on
        one processor and as many threads to the same bits as without the interruption; if it holds all epochs, nothing is left to do.
    :param accelerator: an ``accelerate.Accelerator``: its autocast precision holds for the text tower, and its processes share the
        images and the classes' prompts; the losses are those of one process. None: this process, the backbone's precision.
    :return: the history, empty for a config of 0 epochs.
    :raises ValueError: if a label is outside the classes, a feature is not finite, the prompts grow without bound, or ``state`` can't
        be written or belongs to another training.
    :raises Stopped: by a signal, a kind of KeyboardInterrupt.
    """
    config, processes = model.config, Processes(accelerator)
    progress = progress and processes.rank == 0
    features = _features(model, train, processes, progress).to(model.backbone.device)
    if len(features) == 0 or not bool(
        ((features.labels >= 0) & (features.labels < len(model.class_names))).all()
    ):
        raise ValueError(
            f"training needs images labelled 0 to {len(model.class_names) - 1}; "
            "check that the task and the model have the same classes"
        )
    if not bool(features.image.isfinite().all() & features.patches.isfinite().all()):
        raise ValueError(
            "some image features are not finite; try the backbone in fp32, and clear the feature cache"
        )
    if config.epochs == 0:
        model.eval()
        return []
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )
    fp16 = model.backbone.dtype == torch.float16 or (
        accelerator and accelerator.mixed_precision == "fp16"
    )
    scaler = torch.amp.GradScaler(model.backbone.device.type, init_scale=1024, enabled=fp16)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    parts = {"optimizer": optimizer, "schedule": schedule, "scaler": scaler}
    model.train()
    kept_in = TrainingState(state, model, parts, identity(model, train) if state else {}, processes)
    with (
        torch.random.fork_rng(),
        kept_in as at,
        progress_bar(
            range(len(at.history), config.epochs),
            initial=len(at.history),
            total=config.epochs,
            desc=f"train {config.preset}",
            unit="epoch",
            show=progress,
        ) as bar,
    ):
        for epoch in bar:
            if not len(at.order):
                at.order = torch.randperm(len(features))
            for index in at.order.split(config.batch_size)[at.step :]:
                at.check()
                kept, views, own = (
                    model.sample_prompt_mask(len(index)),
                    features.draw_views(len(index)),
                    processes.shard(len(index)),
                )
                try:
                    with accelerator.autocast() if accelerator else nullcontext():
                        text = model.text_features(processes.encode_sharded)
                        loss, hits = _loss(
                            model,
                            features,
                            index[own],
                            views[own],
                            text,
                            PromptMask(*(x if x is None else x[own] for x in kept)),
                            len(index[own]) / len(index),
                            processes,
                        )
                except ValueError as error:
                    if at.history or at.step:  # the first step went well, so it is the prompts
                        raise ValueError(
                            f"training broke down in epoch {epoch + 1} ({error}); lower lr (now {config.lr})"
                        ) from None
                    raise
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                processes.sum_gradients(model.parameters())
                scaler.step(optimizer)
                scaler.update()
                if not bool(torch.stack([p.isfinite().all() for p in model.parameters()]).all()):
                    raise ValueError(
                        f"the prompts became infinite in epoch {epoch + 1}; lower lr (now {config.lr})"
                    )
                at.loss += processes.all_reduce(loss).item() * len(index)
                at.right += int(processes.all_reduce(hits))
                at.step += 1
            at.history.append(
                Epoch(
                    epoch + 1,
                    at.loss / len(features),
                    at.right / len(features),
                    optimizer.param_groups[0]["lr"],
                )
            )
            schedule.step()
            at.order, at.step, at.loss, at.right = at.order[:0], 0, 0.0, 0
            at.save()
            bar.set_postfix(
                loss=f"{at.history[-1].loss:.3f}", accuracy=f"{at.history[-1].accuracy:.3f}"
            )
            if on_epoch:
                on_epoch(at.history[-1])
        at.check()
    model.eval()
    return at.history


def _features(
    model: SOTGLP, train: Images | Features, processes: Processes, progress: bool
) -> Features:
    config = model.config
    settings: dict[str, Any] = {
        "shared_first_block": config.shared_first_block,
        "views": config.views,
        "seed": config.seed,
        "progress": progress,
    }
    if processes.number == 1 or isinstance(train, Features):
        return encode(model.backbone, train, **settings)
    rows = range(len(train))[processes.shard(len(train))]
    part = encode(model.backbone, train.subset(rows), **settings).to(model.backbone.device)
    image, patches = (processes.gather(x, len(train)).flatten(0, 1) for x in part.by_image())
    return Features(image, patches, processes.gather(part.labels, len(train)), model.backbone.grid)


def _loss(
    model: SOTGLP,
    features: Features,
    mine: Tensor,
    views: Tensor,
    text: TextFeatures,
    kept: PromptMask,
    weight: float,
    processes: Processes,
) -> tuple[Tensor, Tensor]:
    """This process's part of the batch's loss, and how many of its images are right."""
    config, labels = model.config, features.labels[mine]
    total = processes.all_reduce
    if not len(mine):  # the others have images: take part in what they sum
        if config.entropy_weight:
            total(labels.sum())
        return sum(
            (x.sum() * 0 for x in (*text, model.projection) if x is not None),
            features.image.new_zeros(()),
        ), labels.sum()
    prediction = model(features.batch(mine, view=views), text, kept)
    loss = weight * prompt_loss(
        prediction.global_logits, prediction.local_logits, labels, local_weight=config.local_weight
    )
    if config.entropy_weight:
        patch_logits = model.backbone.logit_scale * prediction.patch_similarity.mT
        loss = loss + config.entropy_weight * irrelevant_patch_entropy(
            patch_logits, labels, rank=config.entropy_rank, total=total
        )
    return loss, (prediction.logits.argmax(-1) == labels).sum()
