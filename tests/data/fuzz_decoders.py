"""Damaged images through the decoders, in processes of their own: python -m tests.data.fuzz_decoders --mutations=20000

Each file goes both ways: as a server's request (`decode` in a graph) and as training reads it (`decodable` before).
Every mutation is a function of format, seed and number, so a finding is repeated by its number. Where glibc's checking
allocator is installed the workers run with it: writes past a buffer then end the process at once.
"""

import dataclasses
import json
import os
import resource
import selectors
import subprocess
import sys
import time
import zlib

import numpy as np
from absl import app, flags

from tests.data.seeds import SEEDS, png_chunk

MODULE = "tests.data.fuzz_decoders"
EVERY = "every"
HANG_SECONDS = 60  # of the wall clock, on a machine that may be busy
START_SECONDS = 120
MEMORY_BYTES = 12 * 2**30  # address space; TensorFlow's libraries and threads take half of it
MALLOC_CHECK = "/usr/lib/x86_64-linux-gnu/libc_malloc_debug.so.0"
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 60_000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclasses.dataclass
class Result:
    """Counts of one format; `crashes` and `hangs` hold the numbers of mutations, `escaped` other errors by number."""

    form: str
    seed: int
    mutations: int
    decoded: int = 0
    refused: int = 0
    crashes: list[int] = dataclasses.field(default_factory=list)
    hangs: list[int] = dataclasses.field(default_factory=list)
    escaped: dict[int, str] = dataclasses.field(default_factory=dict)
    longest_seconds: float = 0.0
    peak_bytes: int = 0


def mutated(form: str, seed: int, number: int) -> bytes:
    """The damaged file of a number; the format EVERY takes them in turn."""
    if form == EVERY:
        form = list(SEEDS)[number % len(SEEDS)]
    rng = np.random.default_rng([seed, number, *form.encode()])
    seeds = SEEDS[form]()
    data = seeds[rng.integers(len(seeds))]
    if form == "PNG" and rng.integers(2):  # damaged within a chunk, with right checksums: decoders look no further else
        chunks = _chunks(data)
        chosen = int(rng.integers(len(chunks)))
        chunks[chosen] = chunks[chosen][0], _damaged(chunks[chosen][1], chunks[chosen][1], rng)
        packed = [(name, zlib.compress(body) if name == b"IDAT" else body) for name, body in chunks]
        return data[:8] + b"".join(png_chunk(*chunk) for chunk in packed)
    for _ in range(rng.integers(1, 4)):
        data = _damaged(data, seeds[rng.integers(len(seeds))], rng)
    return data


def _damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    if len(data) < 8:
        return data
    # Half of all changes hit the header.
    at = int(rng.integers(min(len(data), 64) if rng.integers(2) else len(data)))
    size = int(rng.integers(1, 1 + len(data) // 2))
    kind = rng.integers(7)
    if kind == 0:
        return data[:at] + bytes([rng.integers(256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
    if kind == 2:
        width = int(rng.choice([1, 2, 3, 4]))
        value = int(rng.choice(NUMBERS)) % 256**width
        return data[:at] + value.to_bytes(width, "big" if rng.integers(2) else "little") + data[at + width :]
    if kind == 3:
        return data[: len(data) - size]
    if kind == 4:
        return data[:at] + data[at + size :]
    if kind == 5:
        return data[: at + size] + data[at:]
    start = int(rng.integers(len(other)))
    return data[:at] + other[start : start + size] + data[at + (size if rng.integers(2) else 0) :]


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and body of each chunk of a whole PNG, its pixels in one and unpacked."""
    chunks, packed, at = [], b"", 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size
        if name == b"IDAT":
            packed += body
            chunks = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
            body = zlib.decompressobj().decompress(packed)
        chunks.append((name, body))
    return chunks


def fuzz(form: str, mutations: int, seed: int = 0) -> Result:
    """Decodes mutations 0 to N-1 of a format, in new processes after crashes and hangs."""
    result = Result(form, seed, mutations)
    start = 0
    while start < mutations:
        start = _run_worker(result, start)
    return result


def _run_worker(result: Result, start: int) -> int:
    """Goes on at a number until the worker ends; returns the number to go on at."""
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    if os.path.exists(MALLOC_CHECK):
        environment |= {"LD_PRELOAD": MALLOC_CHECK, "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    numbers = (f"--seed={result.seed}", f"--start={start}", f"--mutations={result.mutations}")
    worker = subprocess.Popen(
        [sys.executable, "-m", MODULE, f"--worker={result.form}", *numbers],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )
    number, buffer, wait = start - 1, b"", START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(wait):
                worker.kill()
                worker.wait()
                result.hangs.append(number + 1)
                return number + 2
            block = os.read(worker.stdout.fileno(), 2**16)
            if not block:
                break
            *lines, buffer = (buffer + block).split(b"\n")
            for line in lines:
                report = json.loads(line)
                number = report["number"]
                _count(result, report)
            wait = HANG_SECONDS
    if worker.wait() == 0:
        return result.mutations
    result.crashes.append(number + 1)
    return number + 2


def _count(result: Result, report: dict) -> None:
    if report["outcome"] == "ready":
        return
    result.decoded += report["outcome"] == "decoded"
    result.refused += report["outcome"] == "refused"
    if report["outcome"] not in ("decoded", "refused"):
        result.escaped[report["number"]] = report["outcome"]
    result.longest_seconds = max(result.longest_seconds, report["seconds"])
    result.peak_bytes = max(result.peak_bytes, report["bytes"])


def _work(form: str, seed: int, start: int, stop: int) -> None:
    """Prints a line of JSON for each mutation."""
    import ssl_keras  # isort: skip  # first: sets the environment that TensorFlow reads
    import tensorflow as tf

    from ssl_keras.data.formats.decode import decode, to_canvas
    from ssl_keras.data.formats.transcode import decodable

    assert ssl_keras.__version__

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def canvas(data):
        return to_canvas(decode(data, 3, "uint8"), 16)

    def outcome(data):
        try:
            canvas(data)
            return "decoded"
        except tf.errors.InvalidArgumentError:
            return "refused"

    def both(data):
        served = outcome(data)
        try:
            given = decodable(data)
        except ValueError:
            return served
        return served if given == data else outcome(given)

    for seeds in SEEDS.values():
        for data in seeds():
            both(data)
    own = _peak_bytes()
    print(json.dumps({"number": start - 1, "outcome": "ready", "seconds": 0, "bytes": 0}), flush=True)
    for number in range(start, stop):
        data = mutated(form, seed, number)
        began = time.monotonic()
        try:
            found = both(data)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        report = {"number": number, "outcome": found, "seconds": time.monotonic() - began, "bytes": _peak_bytes() - own}
        print(json.dumps(report), flush=True)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(_):
    args = flags.FLAGS
    if args.worker:
        _work(args.worker, args.seed, args.start, args.mutations)
        os._exit(0)  # the checking allocator takes long to tear TensorFlow down
    for form in args.formats or SEEDS:
        result = fuzz(form, args.mutations, args.seed)
        print(json.dumps(dataclasses.asdict(result)), flush=True)


if __name__ == "__main__":
    flags.DEFINE_integer("mutations", 20_000, "damaged files per format")
    flags.DEFINE_integer("seed", 0, "of the mutations")
    flags.DEFINE_list("formats", [], "JPEG, PNG, GIF, WebP, BMP; default: all")
    flags.DEFINE_string("worker", "", "the format that this process decodes; internal")
    flags.DEFINE_integer("start", 0, "the first mutation; internal")
    app.run(main)
