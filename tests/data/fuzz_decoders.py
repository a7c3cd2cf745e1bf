"""Damaged files through what reads them, in processes of their own: python -m tests.data.fuzz_decoders --count=20000

An ordinary image goes both ways: as a server's request (`decode` in a graph) and as training reads it (`decodable`
before); of one that is refused the reason is looked for too. Measurements go through `facts` and `read` of their
reader, .npy through its source. Where glibc's checking allocator is installed the workers run with it: writes past a
buffer then end the process at once.
"""

import dataclasses
import functools
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import app, flags

from tests.data.mutations import GROUPS, SEEDS, member, mutated

MODULE = "tests.data.fuzz_decoders"
HANG_SECONDS = 10  # of the processor's time
SILENT_SECONDS = 600  # of the wall clock, on a machine that may be busy
MEMORY_BYTES = 12 * 2**30  # address space; TensorFlow's libraries and threads take half of it
MALLOC_CHECK = "/usr/lib/x86_64-linux-gnu/libc_malloc_debug.so.0"
READERS = {"tiff_measured": ("tiff", ".tif"), "nifti_gz": ("nifti", ".nii.gz"), "nifti": ("nifti", ".nii")}


@dataclasses.dataclass
class Result:
    """Counts of one format; `crashes` and `hangs` hold the numbers of mutations, `escaped` other errors by number."""

    form: str
    seed: int
    count: int
    decoded: int = 0
    refused: int = 0
    crashes: list[int] = dataclasses.field(default_factory=list)
    hangs: list[int] = dataclasses.field(default_factory=list)
    escaped: dict[int, str] = dataclasses.field(default_factory=dict)
    longest_seconds: float = 0.0
    longest: int = -1
    peak_bytes: int = 0
    peak: int = -1
    signals: list[int] = dataclasses.field(default_factory=list)


def fuzz(form: str, count: int, seed: int = 0) -> Result:
    """Reads mutations 0 to N-1 of a format, in new processes after crashes and hangs."""
    result = Result(form, seed, count)
    start = 0
    while start < count:
        start = _run_worker(result, start)
    return result


def _run_worker(result: Result, start: int) -> int:
    """Goes on at a number until the worker ends; returns the number to go on at."""
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    if os.path.exists(MALLOC_CHECK):
        environment |= {"LD_PRELOAD": MALLOC_CHECK, "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    numbers = (f"--seed={result.seed}", f"--start={start}", f"--count={result.count}")
    worker = subprocess.Popen(
        [sys.executable, "-m", MODULE, f"--worker={result.form}", *numbers],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )
    number, buffer = start - 1, b""
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(SILENT_SECONDS):
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
    if worker.wait() == 0:
        return result.count
    if worker.returncode == -signal.SIGPROF:
        result.hangs.append(number + 1)
    else:
        result.crashes.append(number + 1)
        result.signals.append(worker.returncode)
    return number + 2


def _count(result: Result, report: dict) -> None:
    if report["outcome"] == "ready":
        return
    number = report["number"]
    result.decoded += report["outcome"] == "decoded"
    result.refused += report["outcome"] == "refused"
    if report["outcome"] not in ("decoded", "refused"):
        result.escaped[number] = report["outcome"]
    if report["seconds"] > result.longest_seconds:
        result.longest_seconds, result.longest = report["seconds"], number
    if report["seconds"] > HANG_SECONDS:
        result.hangs.append(number)
    if report["bytes"] > result.peak_bytes:
        result.peak_bytes, result.peak = report["bytes"], number


def way(form: str, folder: str) -> Callable[[bytes], str]:
    """What reads files of a format as the product does, and tells "decoded" or "refused"."""
    if form == "tiff" or form in GROUPS["images"]:
        return _images()
    return _npy(os.path.join(folder, "a.npy")) if form == "npy" else _measured(form, folder)


@functools.cache
def _images() -> Callable[[bytes], str]:
    import ssl_keras  # isort: skip  # first: sets the environment that TensorFlow reads
    import tensorflow as tf

    from ssl_keras.data.apart.pool import CrashError
    from ssl_keras.data.formats.decode import decode, to_canvas
    from ssl_keras.data.formats.transcode import decodable
    from ssl_keras.data.reasons import encoded_reason

    assert ssl_keras.__version__

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def canvas(data):
        return to_canvas(decode(data, 3, "uint8"), 16)

    def outcome(data):
        try:
            canvas(data)
            return "decoded"
        except tf.errors.InvalidArgumentError:
            encoded_reason(data)
            return "refused"

    def both(data):
        served = outcome(data)
        try:
            given = decodable(data)
        except CrashError:
            raise
        except ValueError:
            return served
        return served if given == data else outcome(given)

    return both


def _measured(form: str, folder: str) -> Callable[[bytes], str]:
    from ssl_keras.data.readers import REGISTRY
    from ssl_keras.data.readers.contract import ReadOptions
    from tests.data.readers.damage import outcome

    name, ending = READERS.get(form, (form, f".{form}"))
    reader, options, path = REGISTRY.load(name), ReadOptions(pages="images"), os.path.join(folder, f"a{ending}")

    def read(data):
        with open(path, "wb") as file:
            file.write(data)
        return {"read": "decoded"}.get(found := outcome(reader, path, options), found)

    return read


def _npy(path: str) -> Callable[[bytes], str]:
    from ssl_keras.data.source import Wanted
    from ssl_keras.data.sources.npy import open_source

    def read(data):
        with open(path, "wb") as file:
            file.write(data)
        try:
            source = open_source(path, Wanted())
            for i in (0, len(source) - 1):
                assert source.read(i).shape[2:] == source.arrays[:1]
        except ValueError:
            return "refused"
        return "decoded"

    return read


def _work(form: str, seed: int, start: int, stop: int) -> None:
    """Prints a line of JSON for each mutation."""
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # some decoders print
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        ways = {name: way(name, folder) for name in GROUPS.get(form, [form])}
        for name, read in ways.items():
            for data in SEEDS[name]():
                read(data)
        own = _peak_bytes()
        print(json.dumps({"number": start - 1, "outcome": "ready", "seconds": 0, "bytes": 0}), file=reports, flush=True)
        for number in range(start, stop):
            data = mutated(form, seed, number)
            began = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, 3 * HANG_SECONDS)  # ends a hang in native code
            try:
                found = ways[member(form, number)](data)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            took = time.process_time() - began
            report = {"number": number, "outcome": found, "seconds": took, "bytes": _peak_bytes() - own}
            print(json.dumps(report), file=reports, flush=True)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(_):
    args = flags.FLAGS
    if args.worker:
        _work(args.worker, args.seed, args.start, args.count)
        os._exit(0)  # the checking allocator takes long to tear TensorFlow down
    for form in args.format or SEEDS:
        began = time.monotonic()
        result = dataclasses.asdict(fuzz(form, args.count, args.seed))
        print(json.dumps({**result, "minutes": round((time.monotonic() - began) / 60, 1)}), flush=True)


if __name__ == "__main__":
    flags.DEFINE_integer("count", 20_000, "damaged files per format")
    flags.DEFINE_integer("seed", 0, "of the mutations")
    flags.DEFINE_list("format", [], f"of {', '.join(SEEDS)}; default: all")
    flags.DEFINE_string("worker", "", "the format that this process reads; internal")
    flags.DEFINE_integer("start", 0, "the first mutation; internal")
    app.run(main)
