"""Settings -> the images of a run: where they come from, as canvases of one kind."""

import dataclasses

import numpy as np

from ssl_keras.build.packed import as_packed
from ssl_keras.build.values import values_of, with_values
from ssl_keras.config import Config
from ssl_keras.data import measured, splits
from ssl_keras.data.canvases import partners
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.canvases.probe import probe
from ssl_keras.data.formats import size as limits
from ssl_keras.data.groups import both_sides
from ssl_keras.data.groups.found import grouped
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.data.source import Source
from ssl_keras.data.sources import folder, open_source
from ssl_keras.words import counted

LARGEST_DEFAULT_VIEW = 224
CANVAS_MARGIN = 8 / 7  # 256 for views of 224: crops are resampled from a little more than they need


def open_training_source(config: Config, method_class: type) -> Source:
    """All images of the data without their test part; for a method that needs labels, the labeled training part."""
    read_as(config)
    size = config.canvas_size or config.image_size
    if method_class.needs_labels:
        source, test, note = splits.train_and_test(config.data, config.data_dir, size, group_by=config.group_by)
        print(note)
        if config.group_by is None and (parted := both_sides.warning(source, test)):
            print(parted)
    else:
        source = open_source(config.data, "train", config.data_dir, size)
        (source,) = grouped([source], config.group_by)
    return splits.take(source, config.train_examples)


def read_as(config: Config) -> None:
    """Tells the readers of this process what the settings ask of them."""
    limits.set_limit(config.max_megapixels, config.max_image_bytes)
    measured.use(ReadOptions(config.pages, config.slices, config.max_image_bytes))
    folder.use(folder.Cut(config.channels_from, config.tile, config.tile_spread, config.invalid))


def resolve(config: Config, source: Source, method_class: type) -> tuple[Config, CanvasSpec]:
    """Fills what the settings leave to the data: recipe, sizes, channels and pixel type."""
    config = as_packed(config, source)
    found = probe(source, channels=config.channels, dtype=config.dtype)
    if found.note:
        print(found.note)
    side = int(np.median(found.sizes.max(axis=1)))
    image_size = config.image_size or max(8, min(LARGEST_DEFAULT_VIEW, side))
    usual = max(8, min(side, round(image_size * CANVAS_MARGIN)))
    canvas_size = config.canvas_size or usual
    if source.packed is not None and source.packed.asked["canvas_size"] is None and canvas_size != usual:
        print(
            f"canvases of {canvas_size} px, as the shards have them: the images themselves would be read as {usual} px "
            f"for --image_size={image_size}"
        )
    config = dataclasses.replace(
        config,
        views=config.views or method_class.default_views,
        image_size=image_size,
        canvas_size=canvas_size,
        channels=found.channels,
        dtype=found.dtype,
    )
    config = with_values(config, source)
    return config, CanvasSpec.of(canvas_size, found.channels, found.dtype, values_of(config))


def load(source: Source, spec: CanvasSpec, config: Config):
    """The source as canvases, and a line about them."""
    canvases = load_canvases(source, spec, config.max_bad_fraction, data_service=config.data_service)
    skipped = f"; {counted(len(canvases.bad), 'file')} could not be read (bad_files.txt)" if canvases.bad else ""
    print(
        f"{source.name}: {len(canvases)} images, canvases {spec.size}x{spec.size}x{spec.channels} {spec.dtype}{skipped}"
    )
    for remark in source.remarks:
        print(f"  {remark}")
    if config.positives == "group":
        print(partners.check(canvases))
    return canvases


def class_count(data) -> int:
    """How many classes the labels of a source or of canvases tell apart; 0 without labels. Some have no names."""
    if data.class_names:
        return len(data.class_names)
    return 0 if data.labels is None else int(data.labels.max()) + 1


def channel_statistics(canvases) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel in [0, 1], over what was measured in up to 2,048 images spread over
    the data.

    The papers normalize by ImageNet's statistics or not at all; images that are not photographs need their own.
    """
    x = canvases.sample(2048)
    mean, std = np.nanmean(x, axis=(0, 1, 2)), np.nanstd(x, axis=(0, 1, 2))
    return [float(v) for v in np.nan_to_num(mean)], [float(max(v, 1e-3)) for v in np.nan_to_num(std)]
