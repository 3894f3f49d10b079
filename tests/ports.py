"""Ports of this machine."""

import socket
from contextlib import closing


def closed_port():
    """One that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]
