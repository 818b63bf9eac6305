"""Fits to data."""
