"""What a tool says on the console: its own words, and not those that the libraries below it say to their authors."""

import atexit
import os
import subprocess
import sys

from absl import logging

# Lines of TensorFlow's C++ side, which no switch turns off before its first operation: I0000 00:00:17 123 port.cc:153],
# and of libjpeg, which name no file: a run's bad_files.txt does.
NOISE = "|".join(
    (
        r"WARNING: All log messages before absl",
        r"[IWE]\d{4} \d\d:\d\d:.*\.(cc|h):\d+\]",
        r"To enable the following instr",
        r"(Corrupt JPEG data|Premature end of JPEG file|Unsupported marker type)",
    )
)
# A process of its own: it still hands on what a crash of ours says last. Signals to us are not for it.
FILTER = """
import re, sys
noise = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def be_quiet() -> None:
    """Leaves TensorFlow's, absl's and Keras's own lines out of the error stream of this process; warnings are short."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)
    logging.get_absl_handler().setFormatter(_Short())
    sys.stderr.flush()
    shown = os.dup(2)
    command = [sys.executable, "-S", "-E", "-c", FILTER, NOISE]
    filtering = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=shown, start_new_session=True)
    os.dup2(filtering.stdin.fileno(), 2)
    filtering.stdin.close()

    @atexit.register
    def finish():
        sys.stderr.flush()
        os.dup2(shown, 2)
        filtering.wait()


class _Short(logging.PythonFormatter):
    """"warning: what is to be said", without time, process and line of code."""

    def format(self, record):
        return f"{record.levelname.lower()}: {record.getMessage()}"
