"""The tables, measured again: those of the book on the embedded task, and the published ones on real data."""
