"""Features on disk: what was computed once is read the next time.

A file is named by a hash of all that its features depend on, so nothing in it can be out of date; labels are not in it.
"""

import hashlib
import json
import os

import keras
import numpy as np
import tensorflow as tf

import ssl_keras
from ssl_keras import files
from ssl_keras.data.canvases.memory import Canvases
from ssl_keras.data.canvases.streams import StreamedCanvases
from ssl_keras.data.source import Source
from ssl_keras.encoders.encoder import Encoder
from ssl_keras.evals import features
from ssl_keras.evals.features import Features
from ssl_keras.evals.subject import Encoding
from ssl_keras.words import counted


class FeatureCache:
    """A folder of features, one file for each encoder and set of images.

    Args:
        folder: made where it is missing; any file in it may be deleted.
        max_megapixels, max_image_bytes: larger images are not read, see `Config`.
    """

    def __init__(self, folder: str, max_megapixels: float, max_image_bytes: int = 2**30):
        self.folder, self.limits = folder, [max_megapixels, max_image_bytes]
        self._hashes: dict[int, tuple[Canvases, str]] = {}
        self._said, self._writes = False, True

    def extract(self, encoding: Encoding, layer: str, pair: tuple) -> tuple[Features, Features]:
        """`features.extract` of training and test canvases, where that is not on disk."""
        how = _hash_of(
            {
                "encode": _encoder_hash(encoding.encode),
                "layer": layer,
                "image_size": encoding.image_size,
                "crop": encoding.crop,
                "versions": [tf.__version__, keras.__version__, ssl_keras.__version__],
                "devices": _devices(),
            }
        )
        embed = features.embedder(*encoding)
        return tuple(self._part(embed, how, canvases) for canvases in pair)

    def _part(self, embed, how: str, canvases) -> Features:
        images = self._images_hash(canvases)
        path = os.path.join(self.folder, f"{_hash_of([how, images])}.npz")
        x = self._read(path, len(canvases))
        if x is not None:
            return Features(x, canvases.labels, np.arange(len(canvases)), canvases.groups)
        found = features.extract(embed, canvases)
        missing = len(canvases) - len(found.x)
        if missing:  # these may be readable the next time
            self._warn(f"{counted(missing, 'image')} of {len(canvases)} cannot be read, so the others are not kept")
        elif images == self._images_hash(canvases):  # files that are read as they are needed may change meanwhile
            self._write(path, found.x)
        return found

    def _read(self, path: str, length: int) -> np.ndarray | None:
        if not os.path.exists(path):
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                x = file["x"]  # against its checksum
            if x.ndim != 2 or len(x) != length or x.dtype != np.float32:
                raise ValueError("these are other numbers")
        except Exception:  # whatever is wrong with a file, its features are computed anew
            self._warn(f"{path} is damaged: its features are computed anew")
            return None
        if not self._said:
            print(f"features come from the cache in {self.folder}", flush=True)
        self._said = True
        return x

    def _write(self, path: str, x: np.ndarray) -> None:
        if not self._writes:
            return
        try:
            with files.replacing(path) as beside:
                np.savez(beside, x=x)
        except OSError as error:
            self._writes = False
            reason = error.strerror or str(error)
            self._warn(f"nothing can be written to {self.folder} ({reason}), so features are not kept")

    def _warn(self, text: str) -> None:
        print(f"--feature_cache: {text}", flush=True)

    def _images_hash(self, canvases: Canvases | StreamedCanvases) -> str:
        """Of images in memory: their pixels and true sizes. Of streamed ones: what tells that a file is another."""
        if isinstance(canvases, StreamedCanvases):
            return _hash_of([*_spec(canvases), *self.limits, _source_hash(canvases.source)])
        if id(canvases) not in self._hashes:
            arrays = (np.ascontiguousarray(array) for array in (canvases.images, canvases.sizes))
            self._hashes[id(canvases)] = canvases, _hash_of([*_spec(canvases), *map(_bytes_hash, arrays)])
        return self._hashes[id(canvases)][1]


def _spec(canvases) -> list:
    return [len(canvases), *canvases.spec.shape, canvases.spec.dtype, str(canvases.spec.values)]


def _source_hash(source: Source) -> str:
    """Path, size and times of the files that hold the images; where they lie in none, the images themselves.

    The time of the last change of any kind is among them, as programs that copy files set the other one back.
    """
    if source.places is None:
        found = hashlib.sha256()
        for i in range(len(source)):
            try:
                image = source.read(i)
            except Exception:  # whatever is wrong with it: once it can be read, the hash is another
                image = b""
            found.update(_bytes_hash(image if isinstance(image, bytes) else np.ascontiguousarray(image)).encode())
        return found.hexdigest()
    places = source.places
    known = []
    for number in np.unique(places.file):
        path = os.path.realpath(places.paths[number])
        try:
            state = os.stat(path)
        except OSError:
            known.append([int(number), path])
        else:
            known.append([int(number), path, state.st_size, state.st_mtime_ns, state.st_ctime_ns])
    spans = None if places.spans is None else _bytes_hash(np.ascontiguousarray(places.spans))
    return _hash_of([known, _bytes_hash(np.ascontiguousarray(places.file)), spans, places.feature])


def _encoder_hash(encode) -> str:
    """Architecture and weights; raw pixels have only their name."""
    if not isinstance(encode, Encoder):
        return encode.__name__
    found = hashlib.sha256(json.dumps(_renamed(json.loads(encode.model.to_json()), {}), sort_keys=True).encode())
    found.update(str((encode.contract.dtype, encode.contract.values)).encode())
    for variable in encode.model.weights:
        value = np.ascontiguousarray(variable.numpy())
        found.update(f"{value.dtype} {value.shape}".encode())
        found.update(value)
    return found.hexdigest()


def _renamed(value: object, names: dict[str, int]) -> object:
    """A model's JSON with numbers for the names of its layers, which count up in a process."""
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    if "inbound_nodes" in value:  # a layer
        number = names.setdefault(value["name"], len(names))
        value = {**value, "name": number, "config": {**value["config"], "name": number}}
    if "keras_history" in value:  # an output of a layer
        name, *which = value["keras_history"]
        value = {**value, "keras_history": [names.setdefault(name, len(names)), *which]}
    ends = {key: _ends(value[key], names) for key in ("input_layers", "output_layers") if key in value}
    return {key: _renamed(item, names) for key, item in value.items() if key not in ends} | ends


def _ends(value: object, names: dict[str, int]) -> object:
    """The inputs or outputs of a model: [name, node, tensor], or several of these."""
    if isinstance(value, list):
        return [_ends(item, names) for item in value]
    return names.setdefault(value, len(names)) if isinstance(value, str) else value


def _devices() -> list[str]:
    """What computes: a GPU's features are not those of a CPU to the last bit."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus] or ["CPU"]


def _hash_of(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _bytes_hash(data) -> str:
    return hashlib.sha256(data).hexdigest()
