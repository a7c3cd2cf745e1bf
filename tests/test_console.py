"""The error stream of a tool: TensorFlow's own lines are left out, all others arrive, even those of a crash."""

import subprocess
import sys

LINES = r"b'I0000 00:00:1795658256.950632 23074 port.cc:153] oneDNN\nerror that matters\n'"


def said(code: str) -> str:
    code = f"import os; from absl import logging; from ssl_keras import cli\ndef main(): {code}\ncli.run(main)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stderr


def test_lines_of_the_libraries_are_left_out_and_others_arrive():
    assert said(f"os.write(2, {LINES})") == "error that matters\n"


def test_what_a_crash_says_last_arrives():
    crash = said(f"os.write(2, {LINES}); os.abort()")
    assert crash.startswith("error that matters\n") and "Aborted" in crash and "port.cc" not in crash


def test_warnings_are_short():
    assert said("logging.warning('low %s', 'disk'); logging.info('chatter')") == "warning: low disk\n"
