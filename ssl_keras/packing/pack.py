"""Images -> shards: decoded once, as a run would, and written so that runs need not do it again."""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import ssl_keras
from ssl_keras import files, methods, run_folder
from ssl_keras.build.data import read_as, resolve
from ssl_keras.config import Config
from ssl_keras.data import shards
from ssl_keras.data.canvases.pipeline import CanvasSpec, as_written, decoded, stop_if_too_many
from ssl_keras.data.folders.index_file import unpacked
from ssl_keras.data.identity import below, roots_of
from ssl_keras.data.reasons import list_bad
from ssl_keras.data.source import Source
from ssl_keras.data.sources import open_source
from ssl_keras.errors import UserError
from ssl_keras.packing import plan as plans
from ssl_keras.progress import Bar
from ssl_keras.words import counted

AHEAD = 64  # encoded canvases that wait to be written


def pack(config: Config, output: str, images_per_shard: int | None) -> dict:
    """Writes all images of the data as shards, or those shards that are missing.

    Every shard is whole or absent. One that is there is read again, and made anew where it is damaged, or not the one
    that the manifest tells of. The same images give the same bytes.

    Args:
        config: names the data, and how they are read and squashed.
        output: the folder.
        images_per_shard: None: so many that a shard's canvases are 64 MiB.

    Returns:
        The manifest.

    Raises:
        UserError: the folder holds something else; there is no room for the shards.
        BadFilesError: too many images cannot be read; `bad_files.txt` in the folder names them.
    """
    before = shards.read_manifest(output)
    if before is None:
        files.refuse_foreign(output, lambda path: False, as_folder=True)
    sources = _sources(config)
    if not config.normalize.startswith("image"):
        config = dataclasses.replace(config, fill="mean")  # which runs may ask for, and only the images can tell
    resolved, spec = resolve(config, sources["train"], methods.load(config.method))
    plan = plans.plan(config, resolved, spec, sources, images_per_shard)
    if before is not None and plans.of(before) != plan:
        differences = [key for key in plan if plan[key] != before.get(key) and key != "splits"] or ["images"]
        raise UserError(
            f"{output} holds shards of other images, or made with other settings (others are: "
            f"{', '.join(differences)}): name another folder, or remove this one"
        )
    os.makedirs(output, exist_ok=True)
    with files.locked(output), files.space_needed(output, "goes on"):
        files.remove_unfinished(output)
        path = os.path.join(output, shards.MANIFEST)
        if before is None:
            files.write_json(path, {"complete": False} | plan)
        roots = roots_of(config.data, config.data_dir)
        packed = [_Split(output, split, source, spec, roots, plan) for split, source in sources.items()]
        try:
            made = {part.split: part.make(before, config.max_bad_fraction) for part in packed}
        finally:
            run_folder.write_bad_files(output, [pair for part in packed for pair in part.bad])
        splits = {split: about | made[split] for split, about in plan["splits"].items()}
        manifest = plan | {"splits": splits, "complete": True, "version": ssl_keras.__version__}
        files.write_json(path, manifest)
    return manifest


def _sources(config: Config) -> dict[str, Source]:
    """The data by split."""
    read_as(config)
    where = config.data_dir, config.canvas_size or config.image_size
    sources = {"train": open_source(config.data, "train", *where)}
    if sources["train"].packed is not None:
        raise UserError(f"--data={config.data} holds shards already")
    if sources["train"].has_test_split:
        sources["test"] = open_source(config.data, "test", *where)
    return sources


class _Split:
    """The shards of a split.

    Attributes:
        bad: (description, reason) of the images that could not be read.
    """

    def __init__(self, output: str, split: str, source: Source, spec: CanvasSpec, roots: list[str], plan: dict):
        self.output, self.split, self.source, self.spec, self.roots = output, split, source, spec, roots
        each = plan["images_per_shard"]
        self.rows = [np.arange(at, min(at + each, len(source))) for at in range(0, len(source), each)]
        names = [shards.shard_name(split, number) for number in range(len(self.rows))]
        self.paths = [os.path.join(output, name) for name in names]
        self.bad: list[tuple[str, str]] = []

    def make(self, before: dict | None, max_bad_fraction: float) -> dict:
        """Makes the shards that are missing or damaged; what the manifest says of all.

        Args:
            before: the manifest of an earlier time.
        """
        was = before["splits"][self.split].get("shards") if before else None
        known = [shard["sha256"] for shard in was] if was else [None] * len(self.paths)
        found = [self._kept(number, digest) for number, digest in enumerate(known)]
        missing = [number for number, index in enumerate(found) if index is None]
        if len(missing) < len(found):
            print(f"{self.split}: {len(found) - len(missing)} of {counted(len(found), 'shard')} are there and whole")
        wanted = np.concatenate([self.rows[number] for number in missing] or [np.zeros(0, np.int64)])
        stream = _Stream(self.source, self.spec, wanted)
        with Bar(f"packing {self.split} images", len(wanted)) as bar:
            for number in missing:
                self._check_room(found)
                with files.replacing(self.paths[number]) as beside:
                    shards.write(beside, self._items(self.rows[number], stream, max_bad_fraction, bar))
                found[number] = shards.read_back(self.paths[number], number)
        path = os.path.join(self.output, f"{self.split}.npz")
        shards.write_index(path, found)
        told = [
            {"file": name, "images": len(rows), "bytes": os.path.getsize(at), "sha256": shards.sha256(at)}
            for at, name, rows in zip(self.paths, map(os.path.basename, self.paths), self.rows)
        ]
        index = {"file": os.path.basename(path), "sha256": shards.sha256(path)}
        return {"unreadable": len(self.bad), "shards": told, "index": index}

    def _kept(self, number: int, digest: str | None) -> shards.Index | None:
        """The index of a shard that is there and whole; what could not be read is noted."""
        path = self.paths[number]
        if not os.path.isfile(path) or digest not in (None, shards.sha256(path)):
            return None
        try:
            index = shards.read_back(path, number)
        except UserError:
            return None
        if len(index.label) != len(self.rows[number]):
            return None
        reasons = unpacked(index.error)
        self.bad += [(self.source.describe(i), reason) for i, reason in zip(self.rows[number], reasons) if reason]
        return index

    def _items(self, rows: np.ndarray, stream: "_Stream", max_bad_fraction: float, bar: Bar) -> Iterator[shards.Item]:
        """The images of a shard, in their order; each that the stream lacks cannot be read."""
        source = self.source
        for i in rows.tolist():
            label = int(source.labels_if_fine[i])
            item = shards.Item(
                label,
                below(source.describe(i), self.roots),
                source.class_names[label] if source.class_names and label >= 0 else "",
                (source.group(i) if source.group else None) or "",
            )
            canvas = stream.take(i)
            bar.show(stream.taken)
            if canvas is not None:
                yield item._replace(size=canvas.size, canvas=canvas.encoded, form=canvas.form)
                continue
            self.bad += list_bad(source, [i])
            stop_if_too_many(self.bad, len(source), max_bad_fraction)
            yield item._replace(error=self.bad[-1][1])

    def _check_room(self, found: list[shards.Index | None]) -> None:
        """Raises UserError where the shards that are missing find no room, by the size of those that are there."""
        there = [i for i, index in enumerate(found) if index is not None]
        if there:
            images = sum(len(self.rows[i]) for i in there)
            each = sum(os.path.getsize(self.paths[i]) for i in there) / images
            needed, free = each * (len(self.source) - images), shutil.disk_usage(self.output).free
            if needed > free:
                raise UserError(
                    f"{self.output} needs about {needed / 2**20:,.0f} MiB more for {self.split} images, and "
                    f"{free / 2**20:,.0f} MiB are free: free some, and the same command goes on"
                )


class _Canvas(NamedTuple):
    position: int
    size: tuple[int, int]
    encoded: bytes
    form: str


class _Stream:
    """Encoded canvases of the images `wanted`, in that order; those that cannot be read are missing."""

    def __init__(self, source: Source, spec: CanvasSpec, wanted: np.ndarray):
        def encode(image):
            encoded, form = shards.encoded(image)
            return encoded, form.encode()

        @as_written
        def row(item):
            encoded, form = tf.numpy_function(encode, [item["image"]], [tf.string, tf.string], stateful=False)
            return item["position"], item["size"], encoded, form

        positions = tf.data.Dataset.range(len(wanted))
        canvases = decoded(source, spec, positions, lambda positions: wanted[positions])
        # Decoding and encoding leave Python to others, so threads keep all cores busy.
        self._rows = canvases.map(row, num_parallel_calls=tf.data.AUTOTUNE).prefetch(AHEAD).as_numpy_iterator()
        self._wanted = wanted
        self._next = self._row()
        self.taken = 0

    def take(self, i: int) -> _Canvas | None:
        """The image i, the next of those wanted; None: it cannot be read."""
        self.taken += 1
        found = self._next
        if found is None or found.position != i:
            return None
        self._next = self._row()
        return found

    def _row(self) -> _Canvas | None:
        row = next(self._rows, None)
        if row is None:
            return None
        position, size, encoded, form = row
        height, width = map(int, size)
        return _Canvas(int(self._wanted[position]), (height, width), encoded, form.decode())
