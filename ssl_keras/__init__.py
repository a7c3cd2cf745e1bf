"""Self-supervised pretraining of image encoders with Keras 3 and TensorFlow.

`ssl_keras.SimCLR` and every other method by the name of its class, and what `PARTS` names, are imported when they are
used. Nothing heavy is imported here: a tool's `--help` and a wrong flag answer before TensorFlow loads.
"""

import importlib
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

# What a program of one's own uses beside the methods -> where it lies.
PARTS = {
    "Policy": "ssl_keras.views.policy",
    "RandomViews": "ssl_keras.views.layer",
    "UserError": "ssl_keras.errors",
    "as_fused": "ssl_keras.nn.batch_norm",
    "build_backbone": "ssl_keras.nn.backbones",
    "build_encoder": "ssl_keras.encoders.encoder",
    "load_encoder": "ssl_keras.encoders.file",
    "save_encoder": "ssl_keras.encoders.file",
    "build_optimizer": "ssl_keras.optim",
    "load_model": "ssl_keras.methods",
    "schedule": "ssl_keras.optim.schedules",
}


def __getattr__(name):
    if name in PARTS:
        return getattr(importlib.import_module(PARTS[name]), name)
    if name[:1].isupper():
        methods = importlib.import_module("ssl_keras.methods")
        if (method := methods.class_names().get(name)) is not None:
            return methods.load(method)
    raise AttributeError(f"module 'ssl_keras' has no attribute {name!r}")


def __dir__():
    return [*globals(), *PARTS, *importlib.import_module("ssl_keras.methods").class_names()]
