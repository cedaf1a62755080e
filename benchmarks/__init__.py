"""Timings, as rates and ratios. Run with `make bench`; never part of the tests."""
