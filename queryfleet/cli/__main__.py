"""Lets `python -m queryfleet.cli` do what `queryfleet` does."""

from queryfleet.cli import main

main()
