"""TensorBoard's projector: the images of a run where its encoder puts them."""

import math
import os
from collections.abc import Callable

import keras
import numpy as np
from absl import logging
from PIL import Image

from ssl_keras import figures, files
from ssl_keras.data.canvases import batches
from ssl_keras.evals import features
from ssl_keras.words import shown

# t-SNE and UMAP of so many run in a browser within seconds, and a graphics card of any kind can hold their sprite.
IMAGES = 2000
LEAST, SHARE = 500, 0.1  # of few images, so that a short run does not spend its time on them
DIRECTIONS = 200  # of more, TensorBoard takes so many at random
FOLDER, CONFIG = "projector", "projector_config.pbtxt"
FEATURES, LABELS, SPRITE = "features.tsv", "labels.tsv", "sprite.png"
BATCH = 256


class Projector(keras.callbacks.Callback):
    """Writes the projector's files when the run has made all its epochs.

    Args:
        directory: the run's `tensorboard/`.
        canvases: the training images.
        image_size: side of what the encoder takes, px.
        names: () -> the name of each image of the source.
    """

    def __init__(self, directory: str, canvases, image_size: int, names: Callable[[], list[str]]):
        super().__init__()
        self.directory, self.canvases, self.image_size, self.names = directory, canvases, image_size, names

    def on_train_end(self, logs=None):
        write(self.directory, self.model.encoder, self.canvases, self.image_size, self.names())


def write(directory: str, encoder: keras.Model, canvases, image_size: int, names: list[str]) -> None:
    """Writes `projector/` and the file by which TensorBoard finds it, each whole; nothing where a feature is no number.

    Args:
        encoder: takes float32 [B, S, S, C] in [0, 1].
    """
    rows = chosen(canvases)
    x, thumbnails, places, labels = _seen(encoder, canvases.subset(rows), image_size)
    if not np.isfinite(x).all():
        logging.warning("the projector is left out: some features are no finite numbers")
        return
    files.remove_unfinished(directory)
    with files.replacing(os.path.join(directory, FOLDER)) as folder:
        os.makedirs(folder)
        np.savetxt(os.path.join(folder, FEATURES), principal(x), "%.5g", delimiter="\t")
        captions = [names[number] for number in canvases.index[rows[places]]]
        with open(os.path.join(folder, LABELS), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in metadata(labels, canvases.class_names, captions))
        columns = math.ceil(math.sqrt(len(x)))
        Image.fromarray(figures.sprite(thumbnails, columns)).save(os.path.join(folder, SPRITE))
    files.write_text(os.path.join(directory, CONFIG), _config())


def chosen(canvases) -> np.ndarray:
    """Rows of the images that are shown: the same ones each time, none that is known to be unreadable."""
    readable = np.flatnonzero(~np.isin(canvases.index, canvases.bad_indices))
    count = min(IMAGES, max(LEAST, int(SHARE * len(readable))))
    drawn = np.random.default_rng(0).permutation(readable)[:count]  # even steps could meet one class alone
    return np.sort(drawn)


def principal(x: np.ndarray) -> np.ndarray:
    """Features [N, D] in at most `DIRECTIONS` dimensions: turned, so that the first hold the most of their length.

    Angles and distances stay what they were, but for what lies in the directions that are left out.
    """
    if x.shape[1] <= DIRECTIONS:
        return x
    from sklearn.utils.extmath import randomized_svd  # slow to import, and only the end of a run needs it

    left, lengths, _ = randomized_svd(x, DIRECTIONS, random_state=0)
    return left * lengths


def metadata(labels: np.ndarray, class_names: tuple[str, ...] | None, captions: list[str]) -> list[str]:
    """A line for each image: its class and its name; its name alone, and no heading, where no image has a label."""
    captions = [shown(caption) for caption in captions]
    if not (labels >= 0).any():
        return captions
    classes = [_class(label, class_names) for label in labels.tolist()]
    return ["class\timage", *(f"{name}\t{caption}" for name, caption in zip(classes, captions, strict=True))]


def _class(label: int, class_names: tuple[str, ...] | None) -> str:
    if label < 0:
        return "unlabeled"
    return shown(class_names[label]) if class_names else str(label)


def _seen(encoder, canvases, image_size) -> tuple[np.ndarray, dict[int, np.ndarray], np.ndarray, np.ndarray]:
    """Features [N, D], thumbnails by number, rows and labels [N] of the readable images, in one pass."""
    embed = features.embedder(lambda x: encoder(x, training=False), image_size)
    white, thumbnails = figures.brightest(canvases), {}
    parts: list[tuple] = []
    for batch in batches.eval_batches(canvases, BATCH):
        for image, size in zip(batch["image"].numpy(), batch["size"].numpy(), strict=True):
            thumbnails[len(thumbnails)] = figures.thumbnail(image, size, white)
        x = embed(batch["image"], batch["size"])
        parts.append((x.numpy(), batch["index"].numpy(), batch["label"].numpy()))
    x, places, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return x, thumbnails, places, labels


def _config() -> str:
    """A `ProjectorConfig` as text; its paths are below the folder that it lies in."""
    side = f"    single_image_dim: {figures.THUMBNAIL}\n"
    return (
        "embeddings {\n"
        '  tensor_name: "encoder"\n'
        f'  tensor_path: "{FOLDER}/{FEATURES}"\n'
        f'  metadata_path: "{FOLDER}/{LABELS}"\n'
        f'  sprite {{\n    image_path: "{FOLDER}/{SPRITE}"\n{side}{side}  }}\n'
        "}\n"
    )
