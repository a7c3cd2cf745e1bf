"""The environment that TensorFlow reads when it is imported; import this first."""

import os
import tempfile

from ssl_keras import files, startup

os.environ.setdefault(files.CACHE, os.path.join(tempfile.gettempdir(), f"ssl_keras_tests_{os.getuid()}"))
startup.sooner()  # what a test has compiled, another one of the same program need not
