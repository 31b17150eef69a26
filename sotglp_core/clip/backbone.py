"""A frozen open_clip ViT: images to global features and patch tokens, texts to text features."""

import hashlib
import logging
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from ..messages import did_you_mean
from .dense import DENSE, recorded
from .text import project
from .weights import put_weights, read_weights

POCKET = Path(__file__).parents[1] / "pocket"
EMBEDDED, HUB = "embedded", "hf-hub:"  # weights that come with a model; where others are kept
RECORD = ("name", "pretrained", "precision", "fingerprint")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "fp64")
SUPPORTED = (
    "supported are open_clip's ViTs with class-token pooling and a causal text transformer, "
    "such as ViT-B-16 or ViT-L-14"
)


class ImageFeatures(NamedTuple):
    """What the frozen image tower says of a batch."""

    image: Tensor  # (B, D) CLIP's own global feature, not normalised
    patches: Tensor  # (B, P, V) dense tokens after ln_post, for Backbone.project
    grid: tuple[int, int]  # rows, columns; P = rows * columns


class Backbone(nn.Module):
    """A frozen CLIP. Made by :func:`load_backbone`."""

    def __init__(self, model: Any, name: str, pretrained: str, precision: str = "fp32"):
        super().__init__()
        self.model: Any = model.eval().requires_grad_(False)
        self.text: Any = getattr(model, "text", model)
        self.name, self.pretrained, self.precision = name, pretrained, precision
        self.text_width = self.text.token_embedding.embedding_dim
        self.patch_width, self.joint_width = model.visual.proj.shape
        self.grid = tuple(model.visual.grid_size)
        self.tokenizer = _tokenizer(name)
        transform = _open_clip().transform
        preprocessing = transform.PreprocessCfg(**model.visual.preprocess_cfg)
        self.preprocess = transform.image_transform_v2(preprocessing, is_train=False)

    @property
    def dtype(self) -> torch.dtype:
        return self.model.visual.conv1.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.model.visual.conv1.weight.device

    @property
    def compute_dtype(self) -> torch.dtype:
        """Of all that follows the towers: float32, or float64 where the weights are."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def logit_scale(self) -> Tensor:
        return self.model.logit_scale.detach().to(self.compute_dtype).exp()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights' names, shapes and bytes: 16 hexadecimal digits.

        The same in every precision: :func:`load_backbone` takes it before it rounds the weights.
        """
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            digest.update(f"{key}{tuple(value.shape)}".encode())
            digest.update(value.float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def record(self) -> dict[str, str]:
        """What a file knows it by."""
        return {name: getattr(self, name) for name in RECORD}

    def encode_image(self, images: Tensor, *, dense: str = "vv") -> ImageFeatures:
        """z = plain CLIP's image feature; d = ln_post(dense tokens, but the first).

        :param images: (B, 3, H, W), preprocessed.
        :param dense: a name of :data:`~sotglp_core.clip.dense.DENSE`.
        :raises ValueError: on another ``dense``.
        """
        if dense not in DENSE:
            raise ValueError(f"dense is {dense!r}; choose one of {', '.join(DENSE)}")
        visual = self.model.visual
        with recorded(visual.transformer) as steps:
            image = self.model.encode_image(images.to(self.device, self.dtype))
        return ImageFeatures(image, visual.ln_post(DENSE[dense](steps)[:, 1:]), self.grid)

    def to_image(self, pixels: Tensor) -> Image.Image:
        """Preprocessed pixels (3, H, W) as an image, without their normalisation."""
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
        if projection is not None:
            patches = patches @ projection.to(patches)
        return patches @ self.model.visual.proj.to(patches)

    def tokenize(self, texts: list[str]) -> Tensor:
        """(n, L) token ids, cut after the longest text's end token.

        :raises ValueError: on a text longer than the context window.
        """
        window = len(self.text.positional_embedding)
        # one token more than is read, of no more letters than so many can have
        tokens = self.tokenizer([text[: 64 * window] for text in texts], window + 1)
        for text, beyond in zip(texts, tokens[:, window]):
            if beyond:
                raise ValueError(
                    f"the text {text[:60]!r}... has more than {window - 2} tokens; shorten it"
                )
        return tokens[:, : int(tokens.argmax(-1).max()) + 1].to(self.device)

    def embed(self, tokens: Tensor) -> Tensor:
        """(n, L) token ids to (n, L, W) word embeddings, without positions."""
        return self.text.token_embedding(tokens)

    def encode_sequences(self, embeddings: Tensor, end: Tensor) -> Tensor:
        """The text tower from word embeddings on.

        :param embeddings: (n, L, W), L at most the context window.
        :param end: (n,) position of each end token, where the feature is read.
        :return: (n, D), not normalised.
        """
        text, L = self.text, embeddings.shape[1]
        x = (embeddings + text.positional_embedding[:L]).to(text.transformer.get_cast_dtype())
        x = text.transformer(x, attn_mask=text.attn_mask[:L, :L])
        return project(text, text.ln_final(x[torch.arange(len(x), device=x.device), end]))

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """(n, D) features of plain texts, not normalised; equal to open_clip's ``encode_text``."""
        tokens = self.tokenize(texts)
        return self.encode_sequences(self.embed(tokens), tokens.argmax(-1))

    def drop_text_tower(self) -> None:
        """Free the text tower's weights; the fingerprint stays that of all weights."""
        self.fingerprint  # noqa: B018, computed while all weights are there, then kept
        for name in [*self.text._modules, *self.text._parameters]:
            if name not in ("visual", "logit_scale", "logit_bias"):
                delattr(self.text, name)


def load_backbone(
    name: str = "pocket",
    pretrained: str | None = None,
    *,
    device: str | torch.device = "auto",
    precision: str = "auto",
) -> Backbone:
    """A frozen CLIP by name and weights.

    :param name: "pocket" (the embedded default, no download), any native open_clip ViT, such as
        "ViT-B-16", or "hf-hub:owner/model", a repository with open_clip's files at Hugging Face.
    :param pretrained: an open_clip tag ("laion2b_s34b_b88k": downloads), a checkpoint file
        (safetensors or a state dictionary of torch), or "random" for untrained weights. Not needed
        for "pocket" and "hf-hub:...", which have their own. A file does not say which activation it
        was trained with: name the right model yourself.
    :param device: where the weights go; "auto" is the GPU that CUDA finds, or the CPU.
    :param precision: of both towers: "fp32", "bf16", "fp16", or "fp64", in which training comes out
        the same on processors that round differently. "auto" is fp32 on the CPU and for "pocket",
        which is small, and on a GPU bf16 from compute capability 8.0 on, fp16 before.
    :raises ValueError: on an unknown name, tag or precision, an unsupported tower, or weights whose
        activation is not the model's (OpenAI's weights were trained with QuickGELU).
    """
    device = choose_device(device)
    precision = _choose_precision(precision, name, device)
    found = _find(name, pretrained)
    model = _create(name, found if isinstance(found, str) else None)
    pretrained = pretrained or EMBEDDED
    if isinstance(found, Path):
        if put_weights(model, read_weights(found), found, name):
            _check_activation(name, True, f"{found.name} is in OpenAI's own format: its weights")
        pretrained = pretrained if found.parent == POCKET else str(found.resolve())
    backbone = Backbone(model, name, pretrained, precision)
    if precision != "fp32":
        backbone.fingerprint  # noqa: B018, of the weights as they came
        _convert(model, precision)
    return backbone.to(device)


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """A device of torch; "auto" is the GPU that CUDA finds, or the CPU.

    :raises ValueError: if this machine can't use it.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError):
        raise ValueError(f"torch can't use the device '{device}' here; try 'cpu'") from None
    return torch.device(device)


def weights_here(name: str, pretrained: str | None = None) -> bool:
    """Whether :func:`load_backbone` finds these weights on this machine or has to download them.

    :raises ValueError: on an unknown name or tag.
    """
    from huggingface_hub import try_to_load_from_cache

    found = _find(name, pretrained)
    if not isinstance(found, str) or name.startswith("local-dir:"):
        return True
    tag = _open_clip().get_pretrained_cfg(name, found)
    repository, _, file = tag.get("hf_hub", name.removeprefix(HUB) + "/").rpartition("/")
    stem = Path(file or "open_clip_model").stem
    files = (file or "open_clip_pytorch_model.bin", f"{stem}.safetensors")
    return any(isinstance(try_to_load_from_cache(repository, x), str) for x in files)


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy between (B, D) unit features of images and their texts."""
    return _open_clip().ClipLoss()(image, text, scale)


@cache
def _open_clip() -> Any:
    """The library, imported when it is first needed, as that takes seconds."""
    import open_clip

    open_clip.add_model_config(POCKET / "pocket.json")
    return open_clip


@cache
def _tokenizer(name: str) -> Any:
    return _open_clip().get_tokenizer(name)


def _find(name: str, pretrained: str | None) -> Path | str | None:
    """A file; what open_clip loads, a tag or EMBEDDED for a model's own weights; None: random."""
    library = _open_clip()
    _check_supported(name)
    if pretrained in (None, EMBEDDED):
        if name == "pocket":
            return POCKET / "weights.safetensors"
        if ":" in name:  # a repository or a folder
            return EMBEDDED
    tags = ", ".join(library.list_pretrained_tags_by_model(name)) or "none"
    if pretrained is None:
        raise ValueError(
            f"{name} needs weights: give as pretrained one of open_clip's tags ({tags}), "
            "a checkpoint file, or 'random'"
        )
    if pretrained == "random":
        return None
    tag = library.get_pretrained_cfg(name, pretrained)
    if tag:
        _check_activation(name, bool(tag.get("quick_gelu")), f"the weights {pretrained!r}")
        return pretrained
    if not Path(pretrained).is_file():
        raise ValueError(f"{pretrained!r} is neither a tag of {name} ({tags}) nor a file")
    return Path(pretrained)


def _check_supported(name: str) -> None:
    """Refuse by its configuration what has no V-V stream or no packed text tower."""
    try:
        config = _open_clip().get_model_config(name)  # hf-hub:... downloads
    except (OSError, ValueError) as error:
        raise ValueError(
            f"there is no configuration of {name!r} ({_first_line(error)}); go online, or check "
            "that the repository has an open_clip_config.json"
        ) from None
    if config is None:
        near = did_you_mean(name.replace("/", "-"), _open_clip().list_models())
        raise ValueError(f"open_clip has no model {name!r}{near or '; ' + SUPPORTED}")
    image, text = config["vision_cfg"], config["text_cfg"]
    reasons = {
        "its image tower is not a native ViT": "timm_model_name" in image
        or not isinstance(image.get("layers", 12), int),
        "its image tower pools by attention or averaging": image.get("attentional_pool")
        or image.get("pool_type", "tok") != "tok",
        "its text tower is not open_clip's own": "hf_model_name" in text,
        "its tokenizer is not CLIP's": text.get("hf_tokenizer_name"),
        "its text tower is not causal": text.get("no_causal_mask"),
        "its text feature is not read at the end token": text.get("embed_cls")
        or text.get("pool_type", "argmax") != "argmax",
    }
    for reason, true in reasons.items():
        if true:
            raise ValueError(f"{name} is not supported: {reason}; {SUPPORTED}")


def _choose_precision(precision: str, name: str, device: torch.device) -> str:
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if device.type != "cuda" or name == "pocket":
        return "fp32"
    return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"


def _convert(model: Any, precision: str) -> None:
    """Towers in another precision; in a half one, layer norms compute in float32 as open_clip's."""
    if precision == "fp64":
        model.double()
        return
    norms = _open_clip().transformer
    for module in model.modules():
        if isinstance(module, norms.LayerNorm):
            module.__class__ = norms.LayerNormFp32
    _open_clip().convert_weights_to_lp(model, _open_clip().get_cast_dtype(precision))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _create(name: str, pretrained: str | None) -> Any:
    """A model of open_clip's with its weights, or with random ones, always the same."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)  # open_clip warns of random weights that are replaced later
    load = pretrained is not None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return _open_clip().create_model(
                name, pretrained, load_weights=load, require_pretrained=load
            )
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"the weights {pretrained} of {name} could not be downloaded ({_first_line(error)}); "
            "go online, or give a checkpoint file as pretrained"
        ) from None
    finally:
        logging.disable(level)


def _check_activation(name: str, quick: bool, whose: str) -> None:
    if bool(_open_clip().get_model_config(name).get("quick_gelu")) != quick:
        right = name.removesuffix("-quickgelu") + ("-quickgelu" if quick else "")
        activation = "QuickGELU" if quick else "GELU"
        raise ValueError(
            f"{whose} were trained with {activation}, {name} uses the other; load {right!r}"
        )
