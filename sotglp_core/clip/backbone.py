"""A frozen open_clip ViT (imported here alone): images to global features and dense patch tokens, token sequences to text features."""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import torch
from huggingface_hub import try_to_load_from_cache
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn

from .dense import ordinary_stream, vv_attention
from .text import project
from .weights import read_weights

POCKET = files("sotglp_core") / "pocket"
SUPPORTED = "supported are open_clip's ViTs with class-token pooling and a causal text transformer, such as ViT-B-16 or ViT-L-14"
open_clip.add_model_config(Path(str(POCKET / "pocket.json")))


class ImageFeatures(NamedTuple):
    """What the frozen image tower says of a batch."""

    image: Tensor  # (B, D) CLIP's own global feature, not normalised
    patches: Tensor  # (B, P, V) tokens of the dense stream after ln_post; Backbone.project takes them to (B, P, D)
    grid: tuple[int, int]  # rows, columns; P = rows * columns


class Backbone(nn.Module):
    """A frozen CLIP. Made by :func:`load_backbone`."""

    def __init__(self, model: Any, name: str, pretrained: str, precision: str = "fp32"):
        super().__init__()
        text = getattr(model, "text", model)
        _check_towers(model.visual, text, name)
        self.model: Any = model.eval().requires_grad_(False)
        self.text: Any = text
        self.name, self.pretrained, self.precision, self.text_width = (
            name,
            pretrained,
            precision,
            text.token_embedding.embedding_dim,
        )
        self.patch_width, self.joint_width = model.visual.proj.shape
        self.grid = tuple(model.visual.grid_size)
        self.tokenizer = open_clip.get_tokenizer(name)
        self.preprocess = image_transform_v2(
            PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
        )

    @property
    def dtype(self) -> torch.dtype:
        return self.model.visual.conv1.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.model.visual.conv1.weight.device

    @property
    def compute_dtype(self) -> torch.dtype:
        """What follows the towers is computed in: float32, or float64 where the weights are."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def logit_scale(self) -> Tensor:
        return self.model.logit_scale.detach().to(self.compute_dtype).exp()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights' names, shapes and bytes: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            digest.update(
                f"{key}{tuple(value.shape)}".encode()
                + value.detach().float().cpu().numpy().tobytes()
            )
        return digest.hexdigest()[:16]

    def encode_image(
        self, images: Tensor, *, shared_first_block: bool = False, dense: str = "vv"
    ) -> ImageFeatures:
        """z = plain CLIP's image feature; d = ln_post(x_0 + sum_l y_l), y_l block l's V-V attention to the ordinary stream.

        :param images: (B, 3, H, W), preprocessed.
        :param shared_first_block: let the dense stream also receive block 1's ordinary attention output, as the released code does.
        :param dense: "vv", or "plain" for the ordinary stream's own last tokens (to compare with).
        :raises ValueError: on another ``dense``.
        """
        if dense not in ("vv", "plain"):
            raise ValueError(f"dense is {dense!r}; choose vv or plain")
        visual = self.model.visual
        with ordinary_stream(visual.transformer) as stream:
            image = self.model.encode_image(images.to(self.device, self.dtype))
        tokens = stream[-1] if dense == "plain" else stream[0]
        for number, (block, x) in enumerate(
            zip(visual.transformer.resblocks, stream if dense == "vv" else ())
        ):
            tokens = tokens + block.ls_1(_value_attention(block, x))
            if number == 0 and shared_first_block:
                normed = block.ln_1(x)
                tokens = tokens + block.ls_1(
                    block.attn(normed, normed, normed, need_weights=False)[0]
                )
        return ImageFeatures(image, visual.ln_post(tokens[:, 1:]), self.grid)

    def to_image(self, pixels: Tensor) -> Image.Image:
        """What the backbone sees, as an image: (3, H, W) preprocessed pixels without their normalisation."""
        normalise = self.preprocess.transforms[-1]
        mean, std = (torch.tensor(x)[:, None, None] for x in (normalise.mean, normalise.std))
        pixels = (pixels.float().cpu() * std + mean).clamp(0, 1)
        return Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy())

    def project(self, patches: Tensor, projection: Tensor | None = None) -> Tensor:
        """d W_learned W_clip.

        :param patches: (..., V) dense tokens.
        :param projection: (V, V) learnable map, or None.
        :return: (..., D), not normalised.
        """
        patches = patches if projection is None else patches @ projection.to(patches.dtype)
        return patches @ self.model.visual.proj.to(patches.dtype)

    def tokenize(self, texts: list[str]) -> Tensor:
        """(n, L) token ids, cut after the longest text's end token.

        :raises ValueError: on a text longer than the context window, which the tokenizer would cut in silence.
        """
        if long := [
            text for text in texts if len(text) > 64 * self.text.positional_embedding.shape[0]
        ]:  # the tokenizer would take long
            raise ValueError(
                f"the text {long[0][:60]!r}... has {len(long[0]):,} characters; shorten it"
            )
        tokens = self.tokenizer(texts)
        end = tokens.argmax(-1)
        for i in (end == tokens.shape[1] - 1).nonzero()[:, 0].tolist():
            if len(self.tokenizer.encode(texts[i])) + 2 > tokens.shape[1]:
                raise ValueError(
                    f"the text {texts[i][:60]!r}... has more than {tokens.shape[1] - 2} tokens; shorten it"
                )
        return tokens[:, : int(end.max()) + 1].to(self.device)

    def embed(self, tokens: Tensor) -> Tensor:
        """(n, L) token ids to (n, L, W) word embeddings, without positions."""
        return self.text.token_embedding(tokens)

    def encode_sequences(self, embeddings: Tensor, end: Tensor) -> Tensor:
        """Text tower from word embeddings; attention is causal, so positions after the last end token are not needed.

        :param embeddings: (n, L, W), L up to the context length.
        :param end: (n,) position of each end token, where the feature is read.
        :return: (n, D), not normalised.
        """
        text, L = self.text, embeddings.shape[1]
        x = (embeddings + text.positional_embedding[:L]).to(text.transformer.get_cast_dtype())
        x = text.transformer(x, attn_mask=text.attn_mask[:L, :L])
        x = text.ln_final(x[torch.arange(len(x), device=x.device), end])
        return project(text, x)

    def drop_text_tower(self) -> None:
        """Free the text tower's weights; the fingerprint stays that of all weights."""
        self.fingerprint  # noqa: B018, computed while all weights are there, then kept
        image_side = ("visual", "logit_scale", "logit_bias")
        for name in [*dict(self.text.named_children()), *self.text._parameters]:
            if name not in image_side:
                delattr(self.text, name)

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """(n, D) features of plain texts, not normalised; equal to open_clip's ``encode_text``."""
        tokens = self.tokenize(texts)
        return self.encode_sequences(self.embed(tokens), tokens.argmax(-1))


def load_backbone(
    name: str = "pocket",
    pretrained: str | None = None,
    *,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
) -> Backbone:
    """A frozen CLIP by name and weights.

    :param name: "pocket" (the embedded default, no download) or any native open_clip ViT, such as "ViT-B-16".
    :param pretrained: an open_clip tag ("laion2b_s34b_b88k": downloads), a checkpoint file (safetensors, open_clip's or
        OpenAI's own format), or "random" for untrained weights. Not needed for "pocket". A state dictionary without tag,
        archive or integers does not say which activation it was trained with: name the right model yourself.
    :param device: where the weights go.
    :param precision: "fp32", "bf16", "fp16", or "fp64", in which training comes out the same on processors that round differently.
    :raises ValueError: on an unknown name, tag or precision, an unsupported tower, or weights whose activation is not
        the model's (OpenAI's weights were trained with QuickGELU).
    """
    if precision not in ("fp32", "bf16", "fp16", "fp64"):
        raise ValueError(f"precision is {precision!r}; choose fp32, bf16, fp16 or fp64")
    pretrained, tag, path = _weights(name, pretrained)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _create(
            name, pretrained if tag else None, "fp32" if precision == "fp64" else precision
        )
    from_file = not tag and pretrained not in ("random", "embedded")
    backbone = Backbone(model, name, str(path.resolve()) if from_file else pretrained, precision)
    if not tag and pretrained != "random":
        _load_file(model, path, name)
    return (backbone.double() if precision == "fp64" else backbone).to(device)


def weights_here(name: str, pretrained: str | None = None) -> bool:
    """Whether :func:`load_backbone` finds these weights on this machine; if not, it downloads them.

    :raises ValueError: on an unknown name or tag.
    """
    _, tag, _ = _weights(name, pretrained)
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    if not repository:
        return not tag or Path("~/.cache/clip", Path(tag["url"]).name).expanduser().is_file()
    names = (
        (file, f"{Path(file).stem}.safetensors")
        if file
        else ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    )
    return any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


def _weights(name: str, pretrained: str | None) -> tuple[str, dict, Path]:
    """The weights' name, open_clip's entry if that is a tag, and the file if it is not."""
    _check_name(name)
    pretrained = pretrained or ("embedded" if name == "pocket" else None)
    tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
    if pretrained is None:
        raise ValueError(
            f"{name} needs weights: give as pretrained one of open_clip's tags ({tags}), a checkpoint file, or 'random'"
        )
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    path = (
        Path(str(POCKET / "weights.safetensors")) if pretrained == "embedded" else Path(pretrained)
    )
    if tag:
        _check_activation(name, bool(tag.get("quick_gelu")), f"the weights {pretrained!r}")
    elif pretrained != "random" and not path.is_file():
        raise ValueError(f"{pretrained!r} is neither a tag of {name} ({tags}) nor a file")
    return pretrained, tag, path


def _create(name: str, tag: str | None, precision: str) -> Any:
    level = logging.root.manager.disable
    logging.disable(
        logging.ERROR
    )  # open_clip logs what is raised here, and warns of random weights that are replaced later
    try:
        return open_clip.create_model(name, pretrained=tag, precision=precision, device="cpu")
    except (RuntimeError, OSError) as error:
        if tag is None:
            raise
        raise ValueError(
            f"the weights {tag!r} of {name} could not be downloaded ({str(error).splitlines()[0][:120]}); "
            "go online, or give a checkpoint file as pretrained"
        ) from None
    finally:
        logging.disable(level)


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy between (B, D) unit image and text features, row i of one belonging to row i of the other."""
    return open_clip.ClipLoss()(image, text, scale)


def _load_file(model: Any, path: Path, name: str) -> None:
    weights = read_weights(path, model.vocab_size)
    if weights.openai:
        _check_activation(name, True, f"{path.name} is in OpenAI's own format: its weights")
    try:
        model.load_state_dict(weights.state)
    except RuntimeError as error:
        raise ValueError(
            f"{path.name} does not hold the weights of {name}: {str(error).splitlines()[1].strip()[:200]}"
        ) from None


def _check_activation(name: str, quick: bool, whose: str) -> None:
    if bool(open_clip.get_model_config(name).get("quick_gelu", False)) != quick:
        mended = name.removesuffix("-quickgelu") + "-quickgelu" * quick
        raise ValueError(
            f"{whose} were trained with {'QuickGELU' if quick else 'GELU'}, {name} uses the other; load {mended!r}"
        )


def _check_name(name: str) -> None:
    """Refuse by its configuration what needs another library, before anything is built."""
    config = None if ":" in name else open_clip.get_model_config(name)  # hf-hub:... downloads
    if config is None:
        raise ValueError(f"open_clip has no model {name!r}; {SUPPORTED}")
    if "timm_model_name" in config["vision_cfg"] or isinstance(
        config["vision_cfg"].get("layers"), list
    ):
        raise ValueError(
            f"{name} is not supported: its image tower is not a native ViT; {SUPPORTED}"
        )
    if "hf_model_name" in config["text_cfg"]:
        raise ValueError(
            f"{name} is not supported: its text tower is not open_clip's own; {SUPPORTED}"
        )


def _check_towers(visual: Any, text: Any, name: str) -> None:
    blocks = [
        *visual.transformer.resblocks,
        *getattr(text, "transformer", visual.transformer).resblocks,
    ]
    reasons = {
        "its image tower pools by attention or averaging": visual.attn_pool is not None
        or visual.pool_type != "tok",
        "its blocks are not plain attention": not all(
            isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks
        ),
        "its text tower is not causal": getattr(text, "attn_mask", None) is None,
        "its text feature is not read at the end token": getattr(
            text, "text_pool_type", getattr(text, "pool_type", "argmax")
        )
        != "argmax",
    }
    found = [reason for reason, true in reasons.items() if true]
    if found:
        raise ValueError(f"{name} is not supported: {found[0]}; {SUPPORTED}")


def _value_attention(block: Any, x: Tensor) -> Tensor:
    attention, width = block.attn, x.shape[-1]
    return vv_attention(
        block.ln_1(x),
        attention.in_proj_weight[-width:],
        attention.in_proj_bias[-width:],
        attention.out_proj.weight,
        attention.out_proj.bias,
        heads=attention.num_heads,
    )
