"""Decodes training images for other processes (--data_service); one command per host:

python -m tools.data_worker --dispatcher_port=5050                  # the first host: dispatcher and worker
python -m tools.data_worker --dispatcher=grpc://FIRST_HOST:5050     # every other host: a worker
"""

from absl import flags

from ssl_keras import cli

flags.DEFINE_integer("dispatcher_port", None, "start a dispatcher on this port", lower_bound=1, upper_bound=65535)
flags.DEFINE_string("dispatcher", None, "grpc://HOST:PORT of the dispatcher to work for")
flags.DEFINE_bool("worker", True, "also run a worker; --noworker starts a dispatcher alone")
flags.DEFINE_string("host", None, "name by which training processes reach this machine; unset: the machine's own")


def main():
    args = flags.FLAGS
    from ssl_keras.data.canvases import servers

    servers.serve(args.dispatcher_port, args.dispatcher, args.worker, args.host)


if __name__ == "__main__":
    cli.run(main)
