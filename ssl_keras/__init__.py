"""Self-supervised pretraining of image encoders with Keras 3 and TensorFlow.

Nothing heavy is imported here: a tool's `--help` and a wrong flag answer before TensorFlow loads.
"""

import os

# TensorFlow leaves oneDNN off on CPUs without AVX512-VNNI, where it is worth 1.8x; it must be set before the import.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"
