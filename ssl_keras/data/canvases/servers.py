"""The processes of a tf.data service: a dispatcher that hands out work, workers that do it, and a look at whether
both are there."""

import os
import signal
import socket
import threading

import tensorflow as tf
from absl import logging

from ssl_keras.errors import UserError

PROTOCOL = "grpc://"
CONNECT_SECONDS, ANSWER_SECONDS = 3, 15


def serve(
    dispatcher_port: int | None, dispatcher: str | None, with_worker: bool = True, host: str | None = None
) -> None:
    """Runs a dispatcher, a worker, or both until SIGTERM or SIGINT ends the process, with status 0.

    Args:
        dispatcher_port: start a dispatcher that listens here.
        dispatcher: address (grpc://host:port) of the one that runs elsewhere; one of the two is given.
        with_worker: whether a worker runs in this process.
        host: name under which the training processes reach this machine's worker; None: the machine's own name
            ("localhost" for a dispatcher that is called so).
    Raises:
        UserError: neither or both are given, nobody answers at the address, or the port is taken.
    """
    if (dispatcher_port is None) == (dispatcher is None):
        raise UserError("give --dispatcher_port=PORT to start a dispatcher here, or --dispatcher=grpc://HOST:PORT")
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    # A worker beside a training process must leave it the accelerator's memory.
    tf.config.set_visible_devices([], "GPU")
    service = tf.data.experimental.service
    running = []
    if dispatcher is None:
        try:
            running.append(service.DispatchServer(service.DispatcherConfig(port=dispatcher_port)))
        except tf.errors.OpError as error:
            raise UserError(f"no dispatcher can listen on port {dispatcher_port}: {error.message}") from None
        address = f"localhost:{dispatcher_port}"
        print(f"dispatcher: {PROTOCOL}{socket.getfqdn()}:{dispatcher_port}", flush=True)
    else:
        check_connection(dispatcher)
        address = dispatcher.removeprefix(PROTOCOL)
    if with_worker:
        # The dispatcher passes this name on to the training processes.
        is_alone = dispatcher is not None and address.startswith("localhost:")
        host = host or ("localhost" if is_alone else socket.getfqdn())
        config = service.WorkerConfig(dispatcher_address=address, worker_address=f"{host}:%port%")
        running.append(service.WorkerServer(config))
        print(f"worker: {host}, for the dispatcher at {address}", flush=True)
    stop.wait()
    print("stopped", flush=True)
    # The servers keep nothing that would have to be put away; releasing them waits for the calls of training processes.
    os._exit(0)


def check_connection(address: str) -> None:
    """Sees that something listens at an address.

    Raises:
        UserError: the address is none, or nobody answers there within three seconds.
    """
    host, _, port = address.removeprefix(PROTOCOL).rpartition(":")
    if not address.startswith(PROTOCOL) or not host or not port.isdecimal():
        raise UserError(f"data service {address!r}: expected {PROTOCOL}HOST:PORT, as tools.data_worker prints it")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"nobody answers at {address} ({error}): start tools.data_worker --dispatcher_port={port} on {host}"
        ) from None


def check_answer(address: str) -> None:
    """Has a service do a little work.

    Raises:
        UserError: it does not within 15 seconds: without workers, TensorFlow would wait for one for ever.
    """
    check_connection(address)
    answers = []

    def ask():
        try:
            dataset = distributed(tf.data.Dataset.range(1), address)
            answers.extend(dataset.as_numpy_iterator())
        except tf.errors.OpError as error:
            logging.warning("data service %s: %s", address, error.message)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if not answers:
        raise UserError(
            f"the data service at {address} did nothing within {ANSWER_SECONDS} seconds: "
            f"start a worker, tools.data_worker --dispatcher={address}"
        )


def distributed(dataset: tf.data.Dataset, address: str) -> tf.data.Dataset:
    """The data set, computed by the workers of a service, each element by one of them."""
    service = tf.data.experimental.service
    policy = service.ShardingPolicy.DYNAMIC
    # Pixels hardly get smaller, and compressing them costs what the service is there to save.
    return dataset.apply(service.distribute(processing_mode=policy, service=address, compression=None))
