"""Self-supervised pretraining of image encoders with Keras 3 and TensorFlow.

Nothing heavy is imported here: a tool's `--help` and a wrong flag answer before TensorFlow loads.
"""

import os
import sys

if sys.platform == "win32":  # it lacks the locks, the reads at a place and the counts of memory that are used here
    raise ImportError("ssl_keras does not run on Windows itself: run it in WSL 2 (Linux in Windows), see BUILD.md")

# TensorFlow leaves oneDNN off on CPUs without AVX512-VNNI, where it is worth 1.8x; it must be set before the import.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# The training steps are TensorFlow's, whatever backend other programs are told to take.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.pop("TF_USE_LEGACY_KERAS", None)  # with it tf.keras is Keras 2, which keras-cv refuses
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

if "keras" in sys.modules and (_backend := sys.modules["keras"].config.backend()) != "tensorflow":
    raise ImportError(
        f"keras was imported before ssl_keras, with the backend {_backend!r}, and ssl_keras needs 'tensorflow': import "
        "ssl_keras first, or set KERAS_BACKEND=tensorflow"
    )

__version__ = "0.1.0"
