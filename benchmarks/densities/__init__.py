"""The parts of `benchmarks/density.py`."""
