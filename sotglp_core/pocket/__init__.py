"""A small procedural field guide: birds with named parts, their images, masks and captions."""
