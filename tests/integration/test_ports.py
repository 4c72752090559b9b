"""Ranges of ports that stacks on one machine share out among themselves."""

from __future__ import annotations

import pytest

from cluster.local.ports import PortRange

pytestmark = pytest.mark.integration


def test_claimed_ranges_do_not_touch_each_other():
    """Two stacks never have a port in common, however many there are."""
    claimed = [PortRange.claim() for _ in range(20)]
    try:
        ports = [port for one in claimed for port in range(one.first, one.last + 1)]
        assert len(ports) == len(set(ports))
    finally:
        for one in claimed:
            one.release()


def test_released_range_can_be_claimed_again():
    """Nothing of a stack is left when it has ended."""
    first = PortRange.claim()
    first.release()
    first.release()
    kept = []
    try:
        while True:
            kept.append(PortRange.claim())
            if kept[-1].first == first.first:
                break
    finally:
        for one in kept:
            one.release()
