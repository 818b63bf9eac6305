"""Fits to posteriors: the stages of the default recipe, and what they leave."""
