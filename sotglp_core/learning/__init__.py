"""Training, and what it leaves on disk."""
