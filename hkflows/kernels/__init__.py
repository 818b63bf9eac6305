"""Pure functions on arrays: degrees and masks, networks, the two directions, spline maps."""
