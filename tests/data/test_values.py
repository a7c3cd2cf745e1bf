"""Raw numbers of images as codes: ranges, what was not measured, and how both survive resizing."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.data import ranges
from ssl_keras.data.canvases.pipeline import CanvasSpec, canvas
from ssl_keras.data.values import Values, percentiles, resized


def test_codes_are_places_in_the_range_of_each_channel():
    raw = np.array([[[-1024.0, 5.0], [1500.0, 7.0], [238.0, 6.0]], [[-3000.0, 9.0], [9999.0, 0.0], [np.nan, np.inf]]])
    codes = Values(((-1024.0, 1500.0), (5.0, 7.0))).coded(tf.constant(raw, tf.float32)).numpy()
    assert codes.tolist() == [[[1, 1], [65535, 65535], [32768, 32768]], [[1, 65535], [65535, 1], [0, 0]]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_every_type_of_pixels_has_codes_and_comes_back(dtype):
    meaning = Values(((10.0, 90.0),), (50.0,))
    raw = np.array([[[10], [50], [90], [70]]], dtype)
    codes = meaning.coded(tf.constant(raw))
    assert codes.numpy().ravel().tolist() == [1, 0, 65535, 1 + round(65534 * 0.75)]
    back = meaning.raw(tf.cast(codes, tf.float32) / 65535.0).numpy().ravel()
    np.testing.assert_allclose(back, [10, 10, 90, 70], atol=80 * 3e-5)


def test_invalid_numbers_may_differ_between_channels():
    codes = Values(((0.0, 9.0),) * 3, (0.0, None, 9.0)).coded(tf.constant([[[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]]))
    assert (codes.numpy() > 0).tolist() == [[[False, True, True], [True, True, False]]]


def test_nothing_measured_does_not_become_a_surface_between():
    """Half a picture at 2 m beside a hole: after resizing there is 2 m or nothing, and no 1 m."""
    raw = np.zeros((40, 40, 1), np.uint16)
    raw[:, 17:] = 2000
    spec = CanvasSpec.of(13, 1, "uint16", Values(((1000.0, 3000.0),), (0.0,)))
    found = canvas(tf.constant(raw), spec).numpy()
    assert set(np.unique(found)) == {0, 1 + 65534 // 2}
    plain = Values(((0.0, 3000.0),))
    blurred = canvas(tf.constant(raw), CanvasSpec.of(13, 1, "uint16", plain)).numpy()
    assert len(np.unique(blurred)) > 2


def test_resizing_what_was_measured_everywhere_is_plain_resizing():
    codes = np.random.default_rng(0).integers(1, 65536, (31, 45, 2)).astype(np.uint16)
    expected = tf.image.resize(codes.astype(np.float32), [16, 16], antialias=True).numpy()
    np.testing.assert_allclose(resized(tf.constant(codes), 16).numpy(), expected, atol=0.51)


def test_a_canvas_of_the_right_size_is_left_as_it_is():
    raw = np.random.default_rng(0).integers(0, 65536, (16, 16, 1)).astype(np.uint16)
    meaning = Values(((0.0, 65535.0),))
    spec = CanvasSpec.of(16, 1, "uint16", meaning)
    np.testing.assert_array_equal(canvas(tf.constant(raw), spec), meaning.coded(tf.constant(raw)))


def test_percentiles_are_those_of_what_was_measured():
    samples = np.stack([np.arange(1001.0), np.r_[np.full(500, np.nan), np.arange(501.0)]], 1)
    assert percentiles(samples, ((1, 99), (0, 100))) == ((10.0, 990.0), (0.0, 500.0))
    rare = np.r_[np.zeros(999), 7.0][:, None]  # both percentiles are 0
    assert percentiles(rare, ((1, 99),)) == ((0.0, 7.0),)


def test_what_has_no_range_is_refused():
    with pytest.raises(ValueError, match="channel 2 is constant, 5"):
        percentiles(np.stack([np.arange(9.0), np.full(9, 5.0)], 1), ((1, 99),) * 2)
    with pytest.raises(ValueError, match="nothing was measured in channel 1"):
        percentiles(np.full((9, 1), np.nan), ((1, 99),))
    with pytest.raises(ValueError, match="a lower and a higher finite number"):
        Values(((1.0, 1.0),))


@pytest.mark.parametrize(
    "text, channels, expected",
    [
        ("none", 3, ("none", ())),
        ("auto", 1, ("auto", ())),
        ("percentile:1,99", 2, ("percentile", ((1.0, 99.0),) * 2)),
        ("range:-1000,400", 1, ("range", ((-1000.0, 400.0),))),
        ("range:0,1;2,3", 2, ("range", ((0.0, 1.0), (2.0, 3.0)))),
        ("window:40,400", 1, ("range", ((-160.0, 240.0),))),
    ],
)
def test_forms_of_normalize(text, channels, expected):
    assert ranges.parse(text, channels) == expected
    if expected[0] == "range":
        assert ranges.parse(ranges.written(expected[1]), channels) == expected


@pytest.mark.parametrize("text", ["", "p:1,99", "percentile", "percentile:1", "range:a,b", "range:5,5", "window:1,-2"])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match=f"--normalize={text}"):
        ranges.parse(text)
    with pytest.raises(ValueError, match="from 0 to 100"):
        ranges.parse("percentile:1,101")
    with pytest.raises(ValueError, match="for 2 channels, and the images have 3"):
        ranges.parse("range:0,1;0,2", 3)
    with pytest.raises(ValueError, match="--invalid=x"):
        ranges.invalid_number("x")


def test_each_image_may_have_a_range_of_its_own():
    """Percentiles as NumPy has them, over what was measured; a bright scan of the same picture is the same canvas."""
    rng = np.random.default_rng(0)
    raw = rng.normal(500, 100, (40, 50, 2)).astype(np.float32)
    raw[:5] = np.nan
    spec = CanvasSpec.of(40, 2, "float32", Values(((0.0, 1.0),) * 2, of_image=((1.0, 99.0), (10.0, 80.0))))
    t = spec.unit(spec.values.coded(tf.constant(raw)).numpy())
    for channel, shares in enumerate(spec.values.of_image):
        low, high = np.nanpercentile(raw[..., channel], shares)
        expected = np.clip((raw[..., channel] - low) / (high - low), 0, 1)
        np.testing.assert_allclose(t[..., channel], expected, atol=1e-4)
    brighter = spec.values.coded(tf.constant(3 * raw + 7)).numpy().astype(int)
    assert np.abs(brighter - spec.values.coded(tf.constant(raw)).numpy()).max() <= 2


def test_an_image_that_is_constant_or_empty_is_dark():
    spec = CanvasSpec.of(4, 1, "uint16", Values(((0.0, 1.0),), (0.0,), of_image=((1.0, 99.0),)))
    for value, code in ((7, 1), (0, 0)):
        assert set(np.unique(canvas(tf.constant(np.full((9, 9, 1), value, np.uint16)), spec))) == {code}


@pytest.mark.parametrize(
    "text, channels, expected",
    [
        ("0", None, ("number", (0.0,))),
        ("0.25", 3, ("number", (0.25,) * 3)),
        ("0,0.5,1", 3, ("number", (0.0, 0.5, 1.0))),
        ("mean", 2, ("mean", ())),
        ("channel", 2, ("channel", (0.0, 0.0))),
    ],
)
def test_forms_of_fill(text, channels, expected):
    assert ranges.fill(text, channels) == expected


@pytest.mark.parametrize("text, channels", [("2", 1), ("x", 1), ("", None), ("nan", None), ("0,1", 3)])
def test_wrong_forms_of_fill(text, channels):
    with pytest.raises(ValueError, match=f"--fill={text}"):
        ranges.fill(text, channels)
