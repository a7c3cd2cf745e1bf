"""The environment that TensorFlow reads when it is imported; import this first."""

import os
import tempfile

from ssl_keras import startup

os.environ.setdefault(startup.CACHE, os.path.join(tempfile.gettempdir(), f"ssl_keras_tests_{os.getuid()}"))
startup.sooner()  # what a test has compiled, another one of the same program need not
