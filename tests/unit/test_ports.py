"""TCP ports of this machine."""

from __future__ import annotations

import socket

import pytest

from cluster.local.ports import check_free, free_ports
from queryfleet.errors import ConfigurationError


def test_free_ports_are_different_and_free():
    """Each of several ports can be listened on."""
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        check_free("127.0.0.1", port)


def test_check_free_of_a_taken_port_names_it_and_the_flag():
    """A port that somebody shares willingly is taken too."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"{port}.*--port"):
            check_free("127.0.0.1", port)
