"""What the two sides of a socket say to each other: any objects, the numbers of arrays as they are."""

import pickle
import socket
import struct
from typing import Any

import numpy as np


def send(connection: socket.socket, thing: Any) -> None:
    """Sends an object that can be pickled. Raises OSError where the other side is gone."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    sizes = [part.nbytes for part in parts]
    connection.sendall(struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes))
    for part in parts:
        connection.sendall(part)


def receive(connection: socket.socket) -> Any:
    """An object that the other side sent. Raises EOFError or OSError where it is gone."""
    (count,) = struct.unpack("<I", _bytes(connection, 4))
    body, *buffers = [_bytes(connection, size) for size in struct.unpack(f"<{count}Q", _bytes(connection, 8 * count))]
    return pickle.loads(body, buffers=buffers)


def _bytes(connection: socket.socket, size: int) -> np.ndarray:
    """uint8 [size], of which arrays are made that can be written to."""
    found = np.empty(size, np.uint8)
    at, view = 0, memoryview(found)
    while at < size:
        got = connection.recv_into(view[at:])
        if not got:
            raise EOFError
        at += got
    return found
