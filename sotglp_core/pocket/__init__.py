"""A small procedural field guide: birds with named parts, their pictures, masks and captions."""

# What suits the embedded backbone, whose logits are less steep than CLIP's; chosen on the validation images.
SETTINGS = {"lr": 0.5, "batch_size": 64}
