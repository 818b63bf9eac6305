"""Posteriors of which everything is known, libraries that fit them, and what a fit is worth."""
