"""Models and tools of other libraries. Each module needs its own extra; none is imported here."""
