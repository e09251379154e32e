"""Messages of a kernel leave at once: the socket of every page is told so."""

from __future__ import annotations

from typing import Any

import pytest
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

import run
from workbench.cli.quick_connection import QuickConnection


def test_a_page_is_connected_without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(
        ZMQChannelsWebsocketConnection, "connect", lambda self: told.append("connected")
    )
    handler = KernelWebsocketHandler.__new__(KernelWebsocketHandler)
    monkeypatch.setattr(handler, "set_nodelay", told.append)
    QuickConnection(websocket_handler=handler).connect()
    assert told == [True, "connected"]


def test_the_option_names_the_class() -> None:
    module, _, name = run.QUICK.partition("=")[2].rpartition(".")
    assert (module, name) == (QuickConnection.__module__, QuickConnection.__name__)
