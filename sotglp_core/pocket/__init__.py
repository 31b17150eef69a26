"""A small procedural field guide: birds with named parts, their pictures, masks and captions."""
