"""What pretext tasks are made of: turned images, shuffled tiles, pairs of patches; on the device, without a loop over
images.

`Rotations`, `JigsawTiles` and `PatchPairs` are keras-cv layers that give the pieces of each image together with the
label that they were made by. All they draw is a function of (seed, step, image's place in the global batch), by
`draws.place_draws`.
"""

import math

import keras
import keras_cv
import numpy as np
import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.views import draws
from ssl_keras.views.color import LUMA
from ssl_keras.views.render import FULL_SCALE
from ssl_keras.views.resample import resample, resampling_matrix

DIAGONAL_SCALE = 2**-0.5  # side of the square that lies inside an image however it is turned
FLAT = 1e-8  # variance below which a patch counts as flat: its noise is not blown up
COLORS = ("drop", "project", "keep")
# The eight neighbors of a patch in reading order: label -> (rows down, columns to the right).
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


class PretextLayer(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """Images in, pieces and labels out: what the layers below share.

    Args:
        seed: the run's, in [0, 2^31).
        options: the subclass's own arguments, for its config.
    """

    def __init__(self, seed, options, **kwargs):
        super().__init__(seed=seed, **{**kwargs, "dtype": "float32", "autocast": False})
        if not 0 <= seed < 2**31:
            raise UserError(f"seed={seed} must lie in [0, 2^31)")
        self.seed, self.options = seed, options
        self.built = True

    def call(self, inputs, step=None):
        """Makes the pieces of one step.

        Args:
            inputs: images [b, S, S, C], uint8, uint16 or float in [0, 1], or a single one [S, S, C], or a dict with
                such "images", whose other entries are passed on.
            step: int64 scalar, e.g. `optimizer.iterations`; None: drawn at random.

        Returns:
            (pieces, labels), see the layer; for a dict, the dict with them as "images" and "pretext_labels".
        """
        given = inputs["images"] if isinstance(inputs, dict) else inputs
        images = tf.convert_to_tensor(given)
        if images.dtype.name not in FULL_SCALE:
            raise UserError(f"images are {images.dtype.name}: expected uint8, uint16 or floats in [0, 1]")
        images = tf.cast(images, tf.float32) / FULL_SCALE[images.dtype.name]
        if step is None:
            step = self._random_generator.uniform_full_int([], dtype=tf.int64)
        single = images.shape.rank == 3
        pieces, labels = self.make(images[None] if single else images, tf.cast(step, tf.int64))
        if single:
            pieces, labels = pieces[0], labels[0]
        return {**inputs, "images": pieces, "pretext_labels": labels} if isinstance(inputs, dict) else (pieces, labels)

    def make(self, images, step):
        """float32 [b, S, S, C] in [0, 1], int64 scalar -> (pieces [b, ...], int32 labels [b, ...])."""
        raise NotImplementedError

    def draws(self, images, step, count):
        """U(0, 1) for each image of the global batch: float32 [b, count]."""
        return draws.place_draws(self.seed, step, places(images), count)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed, **self.options}


def places(images):
    """The places of this replica's images in the global batch: int32 [b]."""
    batch = tf.shape(images)[0]
    return distribute.replica_id() * batch + tf.range(batch)


# ---- rotation -------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("ssl_keras")
class Rotations(PretextLayer):
    """Every image at each of several angles (Gidaris et al. 2018, arXiv:1803.07728).

    Pieces: float32 [b, n, S, S, C], counter-clockwise by first_angle + k 360/n degrees; labels: int32 [b, n], each k.
    Multiples of 90 degrees are exact transposes and flips. Where there are others (n = 8), every angle shows only the
    center square of S/√2 pixels that lies inside the image at all of them, enlarged to S by bilinear interpolation:
    empty corners would give the angle away, and so would a zoom of some angles only.

    Args:
        count: n: 2, 4 or 8.
        first_angle: a multiple of 90: count=2 means {0, 180}, with first_angle=90 {90, 270}.
    """

    def __init__(self, count=4, first_angle=0, seed=0, **kwargs):
        if count not in (2, 4, 8):
            raise UserError(f"rotations must be 2, 4 or 8, got {count}")
        if first_angle % 90:
            raise UserError(f"first_angle must be a multiple of 90, got {first_angle}")
        super().__init__(seed, {"count": count, "first_angle": first_angle}, **kwargs)
        self.angles = tuple((first_angle + 360 * k // count) % 360 for k in range(count))

    def make(self, images, step):
        if all(angle % 90 == 0 for angle in self.angles):
            turned = [quarter_turn(images, angle // 90) for angle in self.angles]
        else:
            upright, tilted = turn_inside(images, 0.0), turn_inside(images, 45.0)
            turned = [quarter_turn(tilted if angle % 90 else upright, angle // 90) for angle in self.angles]
        labels = tf.tile(tf.range(len(turned))[None], [tf.shape(images)[0], 1])
        return tf.stack(turned, axis=1), labels


def quarter_turn(images, turns):
    """Turns [b, S, S, C] counter-clockwise by a number of right angles, as `numpy.rot90`; nothing is interpolated."""
    turns %= 4
    if turns % 2:
        images = tf.transpose(images, [0, 2, 1, 3])
    return tf.reverse(images, axis=[[], [1], [1, 2], [2]][turns]) if turns else images


def turn_inside(images, degrees):
    """The center square of side S/√2, turned counter-clockwise, enlarged to S: [b, S, S, C], bilinear."""
    side = images.shape[1]
    angle = math.radians(degrees)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    row = DIAGONAL_SCALE * (np.cos(angle) * y + np.sin(angle) * x) + (side - 1) / 2
    column = DIAGONAL_SCALE * (np.cos(angle) * x - np.sin(angle) * y) + (side - 1) / 2
    row, column = row.clip(0, side - 1), column.clip(0, side - 1)
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    pixels = tf.reshape(images, [-1, side * side, images.shape[3]])
    turned = 0.0
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - down - (row - top)) * np.abs(1 - right - (column - left))
        place = np.minimum(top + down, side - 1) * side + np.minimum(left + right, side - 1)
        turned += weight.reshape(-1, 1).astype(np.float32) * tf.gather(pixels, place.reshape(-1), axis=1)
    return tf.reshape(turned, [-1, side, side, images.shape[3]])


# ---- jigsaw ---------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("ssl_keras")
class JigsawTiles(PretextLayer):
    """Nine shuffled tiles of each image (Noroozi and Favaro 2016, arXiv:1603.09246, section 3).

    The center of the image is a grid of 3 x 3 cells, 75 pixels wide in the paper; in each lies a tile of 64, anywhere.
    Pieces: float32 [b, 9, t, t, C]; the one presented at place j is that of cell permutation[j], cells counted in
    reading order. Labels: int32 [b], the permutation's number.

    Each of these can be switched off, to see what it keeps the network from exploiting:

    Args:
        permutations: int [P, 9].
        tile: side of a tile in pixels; None: 64/75 of a cell, which is a third of the image.
        gap: whether cells are wider than tiles. False: tiles of the same side touch each other.
        jitter: whether a tile lies anywhere in its cell; False: in its middle.
        normalize: whether each tile's channels get the same mean and standard deviation, `mean` and `std`.
        color: what is done against chromatic aberration, which tells where in the lens a tile lies: "gray", the paper's
            weak means (`grayscale`, `channel_jitter`); or "drop", which shows each image by one of its channels, drawn
            at random, and leaves nothing of it.
        grayscale: probability of taking the color from an image, all tiles alike.
        channel_shift: up to so many levels (of 255) are added to each channel of each tile.
        channel_jitter: each channel of each tile is moved by up to so many pixels (2 in the paper, against chromatic
            aberration), but not those of images made gray; None: 2/64 of the tile, at least 1.
        mean, std: floats or [C], in units of the images.
    """

    def __init__(
        self,
        permutations,
        tile=None,
        gap=True,
        jitter=True,
        normalize=True,
        color="gray",
        grayscale=0.3,
        channel_shift=2,
        channel_jitter=None,
        mean=0.0,
        std=1.0,
        seed=0,
        **kwargs,
    ):
        permutations = np.asarray(permutations)
        if color not in ("gray", "drop"):
            raise UserError(f"color must be one of gray, drop, got {color!r}")
        if permutations.ndim != 2 or permutations.shape[1] != 9:
            raise UserError(f"permutations must be of nine tiles, [P, 9], got {list(permutations.shape)}")
        if not 0 <= grayscale <= 1:
            raise UserError(f"grayscale must be a probability in [0, 1], got {grayscale}")
        if channel_shift < 0 or (channel_jitter or 0) < 0:
            raise UserError(f"channel_shift and channel_jitter must be >= 0, got {channel_shift}, {channel_jitter}")
        options = {"tile": tile, "gap": gap, "jitter": jitter, "normalize": normalize, "color": color}
        options |= {"grayscale": grayscale, "channel_shift": channel_shift, "channel_jitter": channel_jitter}
        lists = {"permutations": permutations, "mean": mean, "std": std}
        super().__init__(seed, options | {name: np.asarray(v).tolist() for name, v in lists.items()}, **kwargs)
        self.permutations = tf.constant(permutations, tf.int32)
        self.tile, self.gap, self.jitter, self.normalize = tile, gap, jitter, normalize
        self.color, self.grayscale = color, grayscale
        self.channel_shift, self.channel_jitter = channel_shift, channel_jitter
        self.mean, self.std = mean, std

    def geometry(self, side):
        """(side of a tile, side of a cell, where the grid starts) in pixels, for images of `side`."""
        cell = side // 3
        tile = self.tile or cell * 64 // 75
        if not 1 <= tile <= cell:
            raise UserError(f"tile must be 1 to {cell} pixels, a third of the image of {side}, got {tile}")
        cell = cell if self.gap else tile
        return tile, cell, (side - 3 * cell) // 2

    def make(self, images, step):
        _, side, _, channels = images.shape
        tile, cell, start = self.geometry(side)
        u = self.draws(images, step, 2 + 18 + 27 * channels)
        label = pick(u[:, 0], len(self.permutations))
        if self.color == "drop":
            gray = tf.ones_like(u[:, 1], tf.bool)
            images = tf.repeat(tf.gather(images, pick(u[:, 1:2], channels), axis=3, batch_dims=1), channels, axis=3)
        else:
            gray = u[:, 1] < self.grayscale
            images = tf.where(gray[:, None, None, None], to_gray(images), images)

        room = cell - tile  # pixels that a tile can be moved by within its cell
        order = tf.gather(self.permutations, label)  # [b, 9], the cell that is presented at each place
        within = tf.reshape(pick(u[:, 2:20], room + 1), [-1, 9, 2]) if self.jitter else room // 2
        corner = start + cell * tf.stack([order // 3, order % 3], axis=-1) + within  # [b, 9, 2]
        reach = max(1, round(2 * tile / 64)) if self.channel_jitter is None else self.channel_jitter
        move = pick(tf.reshape(u[:, 20 : 20 + 18 * channels], [-1, 9, 2, channels]), 2 * reach + 1) - reach
        corner = corner[..., None] + tf.where(gray[:, None, None, None], 0, move)
        corner = tf.clip_by_value(corner, 0, side - tile)  # [b, 9, 2, C]
        tiles = cut(images, corner[:, :, 0], corner[:, :, 1], tile)

        if self.channel_shift:
            levels = pick(u[:, 20 + 18 * channels :], 2 * self.channel_shift + 1) - self.channel_shift
            shift = tf.cast(tf.reshape(levels, [-1, 9, 1, 1, channels]), tf.float32) / 255
            tiles = tf.clip_by_value(tiles + shift, 0.0, 1.0)
        if self.normalize:
            centred = tiles - tf.reduce_mean(tiles, axis=[2, 3], keepdims=True)
            variance = tf.reduce_mean(tf.square(centred), axis=[2, 3], keepdims=True)
            tiles = centred * tf.math.rsqrt(variance + FLAT) * self.std + self.mean
        return tiles, label


# ---- context prediction ---------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("ssl_keras")
class PatchPairs(PretextLayer):
    """A patch and one of its eight neighbors (Doersch et al. 2015, arXiv:1505.05192, section 3).

    Pieces: float32 [b, 2, p, p, C], the patch and its neighbor; labels: int32 [b], the neighbor's place, an index
    into `NEIGHBOURS`. Each patch has its channels' means taken away and is divided by the root mean square of all its
    values; `std` and `mean` then bring it to the images' scale.

    Args:
        patch, gap, jitter: side of a patch, pixels between neighbors, and by how many each patch is moved at most
            along each axis. None: the paper's 96, 48 and 7 pixels in images of 256 or more, else 10/32, 3/32 and 1/32
            of the side.
        color: against chromatic aberration, which tells where in the lens a patch lies: "drop" keeps one channel of
            each patch and makes the others noise, a hundredth as strong; "project" takes the green-magenta axis away
            (of RGB); or "keep".
        downsample: probability that a patch is reduced to 100 to 9,025 pixels of the paper's 9,216 (their number is
            uniform; at other sizes the same fractions) and enlarged again.
        mean, std: floats or [C], in units of the images.
    """

    def __init__(
        self,
        patch=None,
        gap=None,
        jitter=None,
        color="drop",
        downsample=0.33,
        mean=0.0,
        std=1.0,
        seed=0,
        **kwargs,
    ):
        if color not in COLORS:
            raise UserError(f"color must be one of {', '.join(COLORS)}, got {color!r}")
        if not 0 <= downsample <= 1:
            raise UserError(f"downsample must be a probability in [0, 1], got {downsample}")
        options = {"patch": patch, "gap": gap, "jitter": jitter, "color": color, "downsample": downsample}
        lists = {"mean": np.asarray(mean).tolist(), "std": np.asarray(std).tolist()}
        super().__init__(seed, options | lists, **kwargs)
        self.patch, self.gap, self.jitter, self.color, self.downsample = patch, gap, jitter, color, downsample
        self.mean, self.std = mean, std

    def geometry(self, side):
        """(patch, gap, jitter) in pixels, for images of `side`."""
        usual = (96, 48, 7) if side >= 256 else tuple(max(1, round(k * side / 32)) for k in (10, 3, 1))
        given = (self.patch, self.gap, self.jitter)
        patch, gap, jitter = (own if ours is None else ours for ours, own in zip(given, usual))
        if patch < 1 or min(gap, jitter) < 0 or 2 * patch + gap + 2 * jitter > side:
            raise UserError(
                f"patch {patch}, gap {gap} and jitter {jitter} must make a pair that fits into images of {side}: "
                "2 patch + gap + 2 jitter at most"
            )
        return patch, gap, jitter

    def make(self, images, step):
        _, side, _, channels = images.shape
        patch, gap, jitter = self.geometry(side)
        u = self.draws(images, step, 13)
        label = pick(u[:, 0], len(NEIGHBOURS))
        offset = (patch + gap) * tf.gather(tf.constant(NEIGHBOURS), label)  # [b, 2] down, right
        lowest = jitter + tf.maximum(-offset, 0)
        highest = side - patch - jitter - tf.maximum(offset, 0)
        first = lowest + pick(u[:, 1:3], highest - lowest + 1)
        moved = pick(tf.reshape(u[:, 3:7], [-1, 2, 2]), 2 * jitter + 1) - jitter  # [b, patch, axis]
        corner = tf.stack([first, first + offset], axis=1) + moved
        pairs = cut(images, corner[:, :, 0], corner[:, :, 1], patch)

        patches = tf.reshape(pairs, [-1, patch, patch, channels])  # [2b, ...]; their draws alike
        reduced, size, kept = (tf.reshape(u[:, k : k + 2], [-1]) for k in (7, 9, 11))
        number = 2 * places(images)[:, None] + tf.range(2)
        # As the authors' code does: colors go last, so that the noise in their place is as fine in every patch.
        patches = tf.where((reduced < self.downsample)[:, None, None, None], coarse(patches, size), patches)
        patches = self._colors(patches, kept, draws.Key(self.seed, step, tf.constant(-1), tf.reshape(number, [-1])))
        patches -= tf.reduce_mean(patches, axis=[1, 2], keepdims=True)
        energy = tf.reduce_mean(tf.square(patches), axis=[1, 2, 3], keepdims=True)
        patches = patches * tf.math.rsqrt(energy + FLAT) * self.std + self.mean
        return tf.reshape(patches, [-1, 2, patch, patch, channels]), label

    def _colors(self, patches, draw, key):
        channels = patches.shape[3]
        if self.color == "project":
            if channels != 3:
                raise UserError(f"color must be 'drop' or 'keep' where images have {channels} channels, not 3")
            axis = np.array([[-1.0, 2.0, -1.0]], np.float32)
            return tf.matmul(patches, tf.constant(np.eye(3, dtype=np.float32) - axis.T @ axis / (axis @ axis.T)))
        if self.color == "keep" or channels == 1:
            return patches
        chosen = tf.one_hot(pick(draw, channels), channels)[:, None, None]
        only = tf.reduce_sum(chosen * patches, axis=-1, keepdims=True)
        noise = 0.01 * tf.math.reduce_std(only, axis=[1, 2], keepdims=True)
        return tf.where(chosen > 0, patches, noise * draws.pixel_normals(key, tuple(patches.shape[1:])))


def coarse(patches, draw):
    """Reduces patches [n, p, p, C] to a share of their pixels and enlarges them again.

    Args:
        draw: float32 [n] in [0, 1): the share is between 100 and 9,025 of 9,216.
    """
    side = patches.shape[1]
    small = tf.round(side * tf.sqrt(draws.between(draw, 100 / 9216, 9025 / 9216)))
    small = tf.clip_by_value(small, 1.0, side)
    zero = tf.zeros_like(small)
    # Rows from `small` on look beyond the patch; the way back does not see them.
    down = resampling_matrix(zero, side * side / small, side, side)
    up = resampling_matrix(zero, small, side, side, extent=small)
    both = up._replace(weights=tf.matmul(up.weights, down.weights))
    return resample(patches, both, both)


# ---- shared ---------------------------------------------------------------------------------------------------------


def cut(images, top, left, side):
    """Cuts squares from images, every channel where it should.

    Args:
        images: [b, H, W, C] of any dtype.
        top, left: int32 [b, n], or [b, n, C] where channels differ: the squares' corners, which lie inside.
        side: int, of the squares.

    Returns:
        [b, n, side, side, C] of the images' dtype.
    """
    _, height, width, channels = images.shape
    if top.shape.rank == 2:
        top, left = top[..., None], left[..., None]
    row = top[:, :, None, None] + tf.range(side)[:, None, None]  # [b, n, side, 1, C or 1]
    column = left[:, :, None, None] + tf.range(side)[:, None]  # [b, n, 1, side, C or 1]
    place = row * width + column
    if place.shape[-1] == 1:
        return tf.gather(tf.reshape(images, [-1, height * width, channels]), place[..., 0], batch_dims=1)
    values = tf.reshape(images, [-1, height * width * channels])
    return tf.gather(values, place * channels + tf.range(channels), batch_dims=1)


def pick(u, count):
    """U(0, 1) -> integers in [0, count), equally often: int32 of u's shape; `count` an int or int32 that broadcasts."""
    return tf.minimum(tf.cast(u * tf.cast(count, tf.float32), tf.int32), count - 1)


def to_gray(images):
    """Each pixel's luma (of other than three channels: their mean) in all its channels."""
    channels = images.shape[3]
    weights = LUMA if channels == 3 else [1 / channels] * channels
    return tf.broadcast_to(tf.reduce_sum(images * tf.constant(weights), axis=-1, keepdims=True), tf.shape(images))


def input_statistics(backbone):
    """Mean and standard deviation, per channel, of what a backbone of `nn.backbones` was built for; 0 and 1 if unknown.

    Patches that are normalized one by one are brought to these: to the backbone they then look like whole images do.
    """
    for layer in backbone.layers:
        if layer.name == "normalization":
            scale = np.asarray(layer.scale, np.float32)
            return -np.asarray(layer.offset, np.float32) / scale, 1 / scale
    return 0.0, 1.0
