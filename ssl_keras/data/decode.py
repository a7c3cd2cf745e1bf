"""Encoded image -> pixels -> canvas, in TensorFlow graph operations only.

The same functions feed training and are traced into the exported model, so that both see the same pixels.
"""

import tensorflow as tf

from ssl_keras.data.orientation import exif_orientation, first_bytes, upright

MAXIMUM = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in JPEG itself


def decode(encoded: tf.Tensor, channels: int, dtype: str) -> tf.Tensor:
    """Pixels of a JPEG, PNG, GIF (first frame), WebP or true-colour BMP: [H, W, channels] of the dtype.

    JPEG is decoded with the accurate inverse DCT and turned upright as its EXIF orientation says.
    Transparency is composited over white: the colour stored behind a transparent pixel is arbitrary and would
    show. 16-bit PNG keeps its 16 bits in uint16 and float32.

    Args:
        encoded: string scalar.
        channels: 1 (luma) or 3 (gray is repeated).
        dtype: "uint8", "uint16" (8-bit values times 257) or "float32" (0 to 1).
    Raises:
        InvalidArgumentError: the bytes are no whole image of these formats.
    """
    if channels not in (1, 3):
        raise ValueError(f"encoded images give 1 or 3 channels, not {channels}: save others as .npy [N, H, W, C]")
    encoded = tf.convert_to_tensor(encoded)

    def jpeg():
        return upright(tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE"), exif_orientation(encoded))

    def png():
        rgba = tf.io.decode_png(encoded, 4, tf.uint16)
        # Where the file has no alpha, TensorFlow fills in 2^bits - 1, of 255 even where there are fewer bits than 8.
        bits = first_bytes(encoded, 25)[24]
        filled = tf.minimum((tf.bitwise.left_shift(1, bits) - 1) * 257, 65535)
        is_opaque = tf.reduce_all(rgba[..., 3] == tf.cast(filled, tf.uint16))
        return tf.cond(is_opaque, lambda: rgba[..., :3], lambda: _over_white(rgba))

    def bmp():
        depth = first_bytes(encoded, 29)[28]
        palette = tf.debugging.assert_greater(depth, 23, "palette BMP: save as PNG")
        with tf.control_dependencies([palette] if palette is not None else []):
            image = tf.io.decode_bmp(encoded)
        return tf.ensure_shape(image[..., :3], [None, None, 3])  # a fourth channel is padding as often as alpha

    def webp_or_gif():
        image = tf.io.decode_image(encoded, expand_animations=False)  # [H, W, 3 or 4]
        opaque = tf.fill(tf.concat([tf.shape(image)[:2], [1]], 0), tf.constant(255, tf.uint8))
        return _over_white(tf.concat([image, opaque], -1)[..., :4])

    formats = {b"\xff\xd8\xff": jpeg, b"\x89PNG": png, b"BM": bmp}
    image = tf.case(
        [
            (tf.strings.substr(encoded, 0, len(magic)) == magic, lambda f=pixels: convert(f(), channels, dtype))
            for magic, pixels in formats.items()
        ],
        default=lambda: convert(webp_or_gif(), channels, dtype),
    )
    return tf.ensure_shape(image, [None, None, channels])


def from_array(image: tf.Tensor, channels: int, dtype: str) -> tf.Tensor:
    """Pixels given as numbers, in the channels and the dtype of a run.

    Args:
        image: [H, W, C] uint8, uint16, or float32 in [0, 1].
    Raises:
        InvalidArgumentError: float values that are not finite or lie outside [0, 1].
    """
    if image.dtype == tf.float32:
        # Written so that NaN fails too.
        inside = tf.reduce_all((image >= 0.0) & (image <= 1.0))
        check = tf.debugging.Assert(inside, ["float32 images need finite values from 0 to 1"])
        with tf.control_dependencies([check] if check is not None else []):
            image = tf.identity(image)
    return convert(image, channels, dtype)


def convert(image: tf.Tensor, channels: int, dtype: str) -> tf.Tensor:
    """The image with another number of channels and another value range; values keep their share of the
    maximum.

    Args:
        image: [H, W, C] uint8, uint16 or float32, C known.
        channels: C, or 1 from 3 (luma), or 3 from 1 (repeated).
    """
    given = image.shape[-1]
    if (given, channels) == (3, 1):
        luma = tf.tensordot(tf.cast(image, tf.float32), tf.constant(LUMA), 1)[..., tf.newaxis]
        image = _rounded(luma, image.dtype.name)
    elif (given, channels) == (1, 3):
        image = tf.concat([image] * 3, -1)
    elif given != channels:
        raise ValueError(f"images of {given} channels cannot become canvases of {channels}: ask for {given}")
    if image.dtype.name == dtype:
        return image
    return _rounded(tf.cast(image, tf.float32) * (MAXIMUM[dtype] / MAXIMUM[image.dtype.name]), dtype)


def to_canvas(image: tf.Tensor, size: int) -> tf.Tensor:
    """The image squashed to the square [size, size, C], antialiased bilinear, rounded to its own dtype.

    An image of that size already is returned as it is.
    """
    shape = tf.shape(image)
    canvas = tf.cond(
        (shape[0] == size) & (shape[1] == size),
        lambda: image,
        lambda: _rounded(tf.image.resize(tf.cast(image, tf.float32), [size, size], antialias=True), image.dtype.name),
    )
    return tf.ensure_shape(canvas, [size, size, image.shape[-1]])


def _over_white(rgba: tf.Tensor) -> tf.Tensor:
    """uint8 or uint16 [H, W, 4] -> [H, W, 3]."""
    maximum = MAXIMUM[rgba.dtype.name]
    rgba_float = tf.cast(rgba, tf.float32)
    colour, alpha = rgba_float[..., :3], rgba_float[..., 3:] / maximum
    return tf.ensure_shape(_rounded(maximum + (colour - maximum) * alpha, rgba.dtype.name), [None, None, 3])


def _rounded(values: tf.Tensor, dtype: str) -> tf.Tensor:
    values = tf.clip_by_value(values, 0.0, MAXIMUM[dtype])
    return values if dtype == "float32" else tf.cast(tf.round(values), dtype)
