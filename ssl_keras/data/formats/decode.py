"""Encoded image -> pixels -> canvas, in TensorFlow graph operations only.

The same functions feed training and are traced into the exported model, so that both see the same pixels.
"""

import tensorflow as tf

from ssl_keras.data.formats import headers
from ssl_keras.data.formats.gif import gif_pixels
from ssl_keras.data.formats.orientation import exif_orientation, upright

MAXIMUM = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
CHANNELS = (1, 3)  # that encoded images give
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in JPEG itself


def decode(encoded: tf.Tensor, channels: int, dtype: str) -> tf.Tensor:
    """Pixels of a JPEG, PNG, GIF (first frame), WebP (still) or true-color BMP: [H, W, channels] of the dtype.

    JPEG is decoded with the accurate inverse DCT. JPEG, PNG and WebP are turned upright as their EXIF orientation
    says. Transparency is composited over white: the color stored behind a transparent pixel is arbitrary and would
    show. 16-bit PNG keeps its 16 bits in uint16 and float32.

    Args:
        encoded: string scalar.
        channels: 1 (luma) or 3 (gray is repeated).
        dtype: "uint8", "uint16" (8-bit values times 257) or "float32" (0 to 1).
    Raises:
        InvalidArgumentError: the bytes are no whole image of these formats, or one that TensorFlow cannot decode
            rightly (`headers`).
    """
    if channels not in CHANNELS:
        raise ValueError(f"encoded images give 1 or 3 channels, not {channels}: save others as .npy [N, H, W, C]")
    encoded = tf.convert_to_tensor(encoded)
    head = {count: tf.strings.substr(encoded, 0, count) for count in (2, 3, 4, 12)}
    formats = [
        (head[3] == b"\xff\xd8\xff", _jpeg_pixels),
        (head[4] == b"\x89PNG", _png_pixels),
        (tf.strings.regex_full_match(head[12], rb"RIFF\C{4}WEBP"), _webp_pixels),
        (head[4] == b"GIF8", gif_pixels),
        (head[2] == b"BM", _bmp_pixels),
        (True, _no_pixels),
    ]
    form = tf.argmax([is_format for is_format, _ in formats], output_type=tf.int32)  # the first that it is
    image = tf.switch_case(
        form, [lambda pixels=pixels: convert(pixels(encoded), channels, dtype) for _, pixels in formats]
    )
    # `FORMATS` of `orientation` are the first of these.
    return upright(tf.ensure_shape(image, [None, None, channels]), exif_orientation(encoded, form))


def _jpeg_pixels(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(headers.sound_jpeg(encoded), 3, dct_method="INTEGER_ACCURATE")


def _png_pixels(encoded: tf.Tensor) -> tf.Tensor:
    rgba = tf.io.decode_png(headers.sound_png(encoded), 4, tf.uint16)
    # Where the file has no alpha, TensorFlow fills in 2^bits - 1, of 255 even where there are fewer bits than 8.
    bits = headers.first_bytes(encoded, 25)[24]
    filled = tf.minimum((tf.bitwise.left_shift(tf.constant(1, tf.int64), bits) - 1) * 257, 65535)
    is_opaque = tf.reduce_all(rgba[..., 3] == tf.cast(filled, tf.uint16))
    return _over_white(rgba, is_opaque)


def _bmp_pixels(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_bmp(headers.sound_bmp(encoded))
    return tf.ensure_shape(image[..., :3], [None, None, 3])  # a fourth channel is padding


def _webp_pixels(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(headers.sound_webp(encoded), expand_animations=False)  # [H, W, 3 or 4]
    return _over_white(image, tf.shape(image)[-1] == 3)


def _no_pixels(encoded: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([headers.sound(encoded, (tf.constant(False), headers.NO_IMAGE))]):
        return tf.zeros([0, 0, 3], tf.uint8)


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
    image = with_channels(image, channels)
    if image.dtype == tf.float32:
        image = tf.clip_by_value(image, 0.0, 1.0)  # a luma may be more by rounding
    if image.dtype.name == dtype:
        return image
    return _rounded(tf.cast(image, tf.float32) * (MAXIMUM[dtype] / MAXIMUM[image.dtype.name]), dtype)


def with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """The image [H, W, C] of any dtype with another number of channels, see `convert`."""
    given = image.shape[-1]
    if (given, channels) == (3, 1):
        luma = tf.tensordot(tf.cast(image, tf.float32), tf.constant(LUMA), 1)[..., tf.newaxis]
        return _rounded(luma, image.dtype.name) if image.dtype in (tf.uint8, tf.uint16) else luma
    if (given, channels) == (1, 3):
        return tf.concat([image] * 3, -1)
    if given != channels:
        raise ValueError(f"images of {given} channels cannot become canvases of {channels}: ask for {given}")
    return image


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


def _over_white(image: tf.Tensor, is_opaque: tf.Tensor) -> tf.Tensor:
    """uint8 or uint16 [H, W, 3 or 4] -> [H, W, 3]; where it is opaque, its colors as they are."""
    maximum = MAXIMUM[image.dtype.name]

    def composited():
        rgba = tf.cast(image, tf.float32)
        colour, alpha = rgba[..., :3], rgba[..., 3:] / maximum
        return _rounded(maximum + (colour - maximum) * alpha, image.dtype.name)

    return tf.ensure_shape(tf.cond(is_opaque, lambda: image[..., :3], composited), [None, None, 3])


def _rounded(values: tf.Tensor, dtype: str) -> tf.Tensor:
    values = tf.clip_by_value(values, 0.0, MAXIMUM[dtype])
    return values if dtype == "float32" else tf.cast(tf.round(values), dtype)
