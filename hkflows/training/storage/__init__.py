"""Fits and checkpoints on disk, without pickle."""
