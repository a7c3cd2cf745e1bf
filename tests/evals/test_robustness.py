import colorsys

import numpy as np
import pytest
from scipy import ndimage

from ssl_keras.data.scenes import scenes
from ssl_keras.evals import linear, robustness
from ssl_keras.evals import run as evaluation
from ssl_keras.scores import corruptions
from ssl_keras.scores.corruption_tables import LARGE, NAMES, SMALL


def picture(side=32, channels=3, number=3):
    """A rendered scene; channels beyond the third repeat the first ones."""
    image = scenes.render_image(number, max(side, scenes.MIN_SIZE), 0)[:side, :side].astype(np.float32) / 255
    return image[..., np.arange(channels) % 3]


def corrupted(image, name, severity, seed=0, number=0):
    rng = corruptions.generator(seed, number, name, severity) if name in NAMES else None
    return corruptions.corrupt(image, name, severity, rng)


@pytest.mark.parametrize("shape", [(32, 32, 3), (32, 32, 1), (24, 40, 5), (96, 96, 3), (8, 8, 2)])
def test_every_corruption_gives_an_image_of_the_same_shape(shape):
    image = picture(max(shape[:2]), shape[2])[: shape[0], : shape[1]]
    given = image.copy()
    for name in NAMES:
        for severity in (1, 2, 3, 4, 5):
            found = corrupted(image, name, severity)
            assert found.shape == shape and found.dtype == np.float32, name
            assert found.min() >= 0 and found.max() <= 1, name  # false of NaN too
        assert (found != image).any() or (name == "zoom_blur" and shape[0] == 8), name  # 8 px times 1.06 are 8
    assert (image == given).all()


# The published constants of these two trade one change for another: bent lines for turned ones, and a darker image for
# more ice.
UNORDERED = ("elastic_transform", "frost")


@pytest.mark.parametrize("side", [32, 96])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNORDERED])
def test_the_highest_severity_changes_more_than_the_lowest(name, side):
    images = [picture(side, number=number) for number in range(5)]
    weak, strong = (np.mean([np.abs(corrupted(x, name, s) - x).mean() for x in images]) for s in (1, 5))
    assert strong > 1.2 * weak


@pytest.mark.parametrize("value", [np.zeros, np.ones])
def test_black_and_white_images_stay_finite(value):
    for name in NAMES:
        assert np.isfinite(corrupted(value((16, 16, 3)), name, 5)).all(), name


def test_the_same_four_numbers_give_the_same_bytes_and_others_do_not():
    image = picture()
    for name in NAMES:
        assert corrupted(image, name, 3).tobytes() == corrupted(image, name, 3).tobytes()
    for name in ("gaussian_noise", "fog", "motion_blur", "glass_blur", "elastic_transform", "snow", "frost"):
        assert (corrupted(image, name, 3) != corrupted(image, name, 3, number=1)).any()
        assert (corrupted(image, name, 3) != corrupted(image, name, 3, seed=1)).any()


def test_noise_is_as_strong_as_its_constants_say():
    small, large = np.full((64, 64, 3), 0.5), np.full((96, 96, 3), 0.5)
    for severity in (1, 5):
        assert corrupted(small, "gaussian_noise", severity).std() == pytest.approx(
            SMALL["gaussian_noise"][severity - 1], rel=0.03
        )
        photons = SMALL["shot_noise"][severity - 1]
        assert corrupted(small, "shot_noise", severity).std() == pytest.approx(np.sqrt(0.5 / photons), rel=0.03)
        hit = corrupted(large, "impulse_noise", severity) != 0.5
        assert hit.mean() == pytest.approx(LARGE["impulse_noise"][severity - 1], rel=0.1)
    assert corrupted(large, "gaussian_noise", 1).std() == pytest.approx(LARGE["gaussian_noise"][0], rel=0.03)


def test_brightness_adds_to_the_value_of_hsv():
    image = picture(16)
    found = corrupted(image, "brightness", 4)
    for pixel, bright in zip(image.reshape(-1, 3), found.reshape(-1, 3)):
        hue, saturation, value = colorsys.rgb_to_hsv(*map(float, pixel))
        assert bright == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.2)), abs=1e-5)
    assert corrupted(np.zeros((8, 8, 5)), "brightness", 1) == pytest.approx(0.05)
    gray = np.full((8, 8, 1), 0.3)
    assert corrupted(gray, "brightness", 2) == pytest.approx(0.4)


def test_contrast_draws_values_to_the_mean_of_each_channel():
    image = picture(40, 5)
    means = image.mean((0, 1))
    assert corrupted(image, "contrast", 2) == pytest.approx((image - means) * 0.5 + means, abs=1e-6)


def test_pixelated_images_are_means_of_boxes():
    image = picture(96, 5)
    boxes = image.reshape(48, 2, 48, 2, 5).mean((1, 3))
    assert corrupted(image, "pixelate", 2) == pytest.approx(boxes.repeat(2, 0).repeat(2, 1), abs=1e-6)


def test_zoom_is_that_of_scipy():
    image = picture(32)
    for zoom in (1.0, 1.05, 1.25, 2.25):
        middle = int(np.ceil(32 / zoom))
        first = (32 - middle) // 2
        zoomed = ndimage.zoom(image[first : first + middle, first : first + middle], (zoom, zoom, 1), order=1)
        cut = (len(zoomed) - 32) // 2
        found = corruptions._zoomed(image, zoom)
        assert found == pytest.approx(zoomed[cut : cut + 32, cut : cut + 32], abs=1e-5)


@pytest.mark.parametrize("reach", [1, 3])
def test_glass_moves_pixels_one_after_the_other(reach):
    height, width = 20, 24
    steps = np.random.default_rng(5).integers(-reach, reach, (2, height - 2 * reach, width - 2 * reach))
    places = np.arange(height * width).reshape(height, width)
    for row in range(height - reach, reach, -1):  # as the published loops go
        for column in range(width - reach, reach, -1):
            down, right = steps[:, row - reach - 1, column - reach - 1]
            places[row, column] = places[row + down, column + right]
    moved = corruptions._moved(height, width, reach, np.random.default_rng(5))
    assert (moved.reshape(height, width) == places).all()


def test_blurs_keep_flat_images_and_spread_a_point():
    flat, point = np.full((32, 32, 3), 0.4), np.zeros((33, 33, 1))
    point[16, 16] = 1
    for name in ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "elastic_transform", "pixelate"):
        assert corrupted(flat, name, 5) == pytest.approx(0.4, abs=1e-6), name
    for name in ("defocus_blur", "motion_blur"):
        blurred = corrupted(point, name, 5)
        assert blurred.sum() == pytest.approx(1, abs=1e-4) and blurred.max() < 0.5


def test_what_there_is_not_is_refused():
    image = picture()
    with pytest.raises(ValueError, match=r"unknown corruption 'rain': expected one of gaussian_noise, .*jpeg"):
        corrupted(image, "rain", 1)
    with pytest.raises(ValueError, match="severity 6: expected one of 1, 2, 3, 4, 5"):
        corrupted(image, "fog", 6)
    with pytest.raises(ValueError, match="at least 8"):
        corrupted(image[:4], "fog", 1)
    with pytest.raises(ValueError, match="unknown corruption 'rain'"):
        robustness.Options(corruptions=("fog", "rain"))
    with pytest.raises(ValueError, match="severity 0"):
        robustness.Options(severities=(0,))
    with pytest.raises(ValueError, match="must name one at least"):
        robustness.Options(severities=())
    with pytest.raises(ValueError, match="--robustness_examples"):
        robustness.Options(examples=-1)


def asked(data, encoder="pixels", **options):
    """The rows of the evaluations robustness and linear."""
    given, chosen = {"data": data}, {"robustness": options}
    return evaluation.evaluate(evaluation.request_from(given, encoder, "robustness,linear", None, options=chosen))


def test_all_fifteen_are_scored_beside_the_clean_images(tmp_path):
    whole, *each, clean = asked("builtin:scenes:160", severities=(1, 5), examples=0)
    assert whole["metrics"] == ["clean", "mean", "kept"] and whole["clean"] == clean["top1"]
    assert [row["corruption"] for row in each] == list(NAMES)
    assert whole["mean"] == pytest.approx(np.mean([row["top1"] for row in each]))
    assert whole["kept"] == pytest.approx(whole["mean"] / whole["clean"])
    assert all(row["top1"] == pytest.approx(np.mean(row["top1_by_severity"])) for row in each)
    assert whole["corrupted_examples"] == whole["test_examples"] == 40


def test_an_encoder_sees_the_corrupted_images(monkeypatch):
    """Where a corruption does nothing, the corrupted images score as the clean ones; where it leaves nothing, as
    a guess of one class."""
    monkeypatch.setattr(corruptions, "_fog", lambda x, constants, rng: x)
    monkeypatch.setattr(corruptions, "_snow", lambda x, constants, rng: 0 * x)
    names = ("fog", "snow")
    whole, fog, snow, clean = asked("builtin:scenes:80", "random", corruptions=names, severities=(2,))
    assert "error" not in whole and whole["corruptions"] == ["fog", "snow"] and whole["clean"] == clean["top1"]
    assert fog["top1"] == pytest.approx(clean["top1"], abs=1 / 20)  # one image: other batches round otherwise
    assert snow["top1"] == pytest.approx(0.1)  # ten classes of two images


def test_the_probe_is_that_of_the_linear_evaluation(monkeypatch):
    fits = []
    fitted = linear.fitted
    monkeypatch.setattr(linear, "fitted", lambda *given, **more: fits.append(1) or fitted(*given, **more))
    whole, *_ = asked("builtin:scenes:80", corruptions=("contrast",), severities=(1,), examples=7)
    assert len(fits) == 1 and (whole["corrupted_examples"], whole["test_examples"]) == (7, 20)
