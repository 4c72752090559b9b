"""Benchmarks, run by hand: `python -m bench`. See README.md beside this file."""
