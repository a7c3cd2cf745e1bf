"""The environment that TensorFlow and NumPy read when they are imported; import this first."""

import os
import tempfile

from ssl_keras import files, startup

os.environ.setdefault(files.CACHE, os.path.join(tempfile.gettempdir(), f"ssl_keras_tests_{os.getuid()}"))
# Libraries of linear algebra have a thread per core each, which wait for one another at work as small as that of tests:
# where the cores have other work too, as with a process of tests on each, that takes twenty times as long.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
startup.sooner()  # what a test has compiled, another one of the same program need not
