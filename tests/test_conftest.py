import asyncio
import os
import socket
from pathlib import Path

import pytest
from conftest import Blocked


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("example.com", 80)])
def test_a_socket_beyond_loopback_is_refused(address: tuple[str, int]) -> None:
    with pytest.raises(Blocked, match="only loopback"):
        socket.create_connection(address, timeout=0.1)
    with socket.socket() as sock, pytest.raises(Blocked, match="only loopback"):
        sock.connect(address)
    with socket.socket() as sock, pytest.raises(Blocked, match="only loopback"):
        sock.connect_ex(address)


def test_asyncio_is_refused_too() -> None:
    with pytest.raises(Blocked, match="only loopback"):
        asyncio.run(asyncio.wait_for(asyncio.open_connection("192.0.2.1", 80), 1))


def test_loopback_and_unix_sockets_work(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        assert client.getpeername() == str(tmp_path / "s")


def test_the_hub_and_the_price_list_are_told_to_stay_offline() -> None:
    assert (os.environ["HF_HUB_OFFLINE"], os.environ["LITELLM_LOCAL_MODEL_COST_MAP"]) == ("1", "True")
    from huggingface_hub import constants

    assert constants.HF_HUB_OFFLINE
