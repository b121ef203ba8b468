"""`meterkast status` where something else than this gateway answers at the page's address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from meterkast.cli import main


@pytest.fixture
def answering() -> Iterator[tuple[int, list[bytes]]]:
    """A port whose every connection gets the bytes of the list, and is closed."""
    listening = socket.create_server(("127.0.0.1", 0))
    words: list[bytes] = []

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                if not connection.recv(65_536):
                    return
                connection.sendall(b"".join(words))

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1], words
    with socket.create_connection(listening.getsockname()):
        pass  # says nothing: the end
    thread.join()
    listening.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no gateway answers at 127.0.0.1"),
        (b"", "no gateway answers at 127.0.0.1"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "answers 404"),
        (b"HTTP/1.0 200 OK\r\n\r\n<html>printer</html>", "words that are not understood"),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", "words that are not understood"),
    ],
    ids=["another protocol", "silence", "another page", "no JSON", "another release"],
)
def test_another_program_on_the_port_is_told_in_words(
    tmp_path: Path,
    answering: tuple[int, list[bytes]],
    capsys: pytest.CaptureFixture[str],
    answer: bytes,
    says: str,
) -> None:
    port, words = answering
    words.append(answer)
    config = tmp_path / "meterkast.toml"
    config.write_text(f"page.port = {port}\n")
    assert main(["status", "--config", str(config)]) == 1
    assert says in capsys.readouterr().err
