"""What is said of a data set, checked on images that are made here."""

import itertools

import numpy as np
import pytest

from ssl_keras.config import Config
from ssl_keras.data import ranges
from ssl_keras.inspection import budget, duplicates, groups, suggest
from ssl_keras.inspection.looks import TEST, TRAIN, look_at
from ssl_keras.inspection.values import values

SLOW, FAST = budget.Machine(2, False, 2e10), budget.Machine(16, True, 1e14)


def looks_at(images, part=TRAIN):
    return [look_at(image, part=part, index=i, kept=image.size) for i, image in enumerate(images)]


def textures(count, seed=0, side=24):
    """Smooth images that are all different."""
    rng = np.random.default_rng(seed)
    return [np.kron(rng.integers(0, 255, (6, 6, 1)), np.ones((side // 6, side // 6, 1))).astype(np.uint8)
            for _ in range(count)]  # fmt: skip


# ---- values ----------------------------------------------------------------------------------------------------------


def test_values_are_numpys_over_what_was_measured():
    rng = np.random.default_rng(0)
    images = [rng.normal(100, 20, (20, 30, 2)).astype(np.float32) for _ in range(5)]
    for image in images:
        image[:3, :, 0] = np.nan
    images[2][5, 5, 1] = 0.0
    found = values(looks_at(images), "float32")
    stacked = np.stack(images).reshape(-1, 2)
    for channel, told in enumerate(found["channels"]):
        own = stacked[:, channel]
        own = own[np.isfinite(own)]
        expected = [own.min(), *np.percentile(own, [1, 50, 99]), own.max()]
        assert [told[k] for k in ("minimum", "p1", "p50", "p99", "maximum")] == pytest.approx(expected, rel=1e-6)
        assert told["used"] is None and told["at_maximum"] == pytest.approx(1 / len(own))
    assert [told["not_measured"] for told in found["channels"]] == pytest.approx([3 / 20, 0.0])
    assert found["channels"][1]["zeros"] == pytest.approx(1 / len(stacked)) and found["invalid"] == "none"


def test_zeros_of_gray_16_bit_images_are_not_measured():
    rng = np.random.default_rng(0)
    images = [rng.integers(400, 3000, (20, 20, 1)).astype(np.uint16) for _ in range(4)]
    for image in images:
        image[:5] = 0
        image[5] = 4000
    (told,) = values(looks_at(images), "uint16")["channels"]
    own = np.stack(images)
    own = own[own > 0]
    assert told["minimum"] == own.min() and told["p1"] == np.percentile(own, 1)
    assert told["zeros"] == told["not_measured"] == 0.25 and told["at_maximum"] == pytest.approx(1 / 15)
    assert told["used"] == pytest.approx((np.percentile(own, 99) - np.percentile(own, 1)) / 65535)


def test_constant_images_and_gray_ones_in_color_are_known():
    ones, nothing = np.full((9, 9, 3), 7, np.uint8), np.full((9, 9, 1), np.nan, np.float32)
    assert look_at(ones).constant and look_at(nothing).constant and look_at(ones).gray
    (texture,) = textures(1)
    assert not look_at(texture).constant and look_at(np.repeat(texture, 3, axis=2)).gray
    assert not look_at(np.concatenate([texture, texture, texture[::-1]], 2)).gray


# ---- duplicates ------------------------------------------------------------------------------------------------------


def test_near_pairs_are_those_of_comparing_all():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 300, np.uint64)
    for i in range(150):  # half of them near another one
        flips = rng.choice(64, rng.integers(0, 7), replace=False)
        hashes[i + 150] = int(hashes[i]) ^ sum(1 << int(bit) for bit in flips)
    small = np.zeros((300, 256), np.uint8)
    small[::5] = 200  # these look otherwise
    expected = [
        (i, j) for i, j in itertools.combinations(range(300), 2)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= 4 and (i % 5 == 0) == (j % 5 == 0)
    ]  # fmt: skip
    assert len(expected) > 50
    assert duplicates.near_pairs(hashes, small).tolist() == sorted(map(list, expected))


def test_duplicates_near_ones_and_leakage_are_found():
    images = textures(12)
    brighter = (images[3].astype(float) * 0.9 + 20).astype(np.uint8)  # another look, the same picture
    train = [*images, images[5].copy(), brighter, np.zeros((24, 24, 1), np.uint8)]
    looks = looks_at(train) + looks_at([images[0], textures(1, seed=9)[0], brighter], TEST)
    labels = {(TRAIN, 5): 0, (TRAIN, 12): 1}
    found = duplicates.duplicates(
        looks, lambda look: f"{look.part}/{look.index}", lambda look: labels.get((look.part, look.index), -1)
    )
    exact, near = found["exact"], found["near"]
    assert sorted(exact["first"]) == [["0/0", "1/0"], ["0/13", "1/2"], ["0/5", "0/12"]]
    assert exact["images"] == 6 and exact["needless"] == 3 and exact["first_of_several_classes"] == [["0/5", "0/12"]]
    assert near["first"] == [["0/3", "0/13", "1/2"]]
    assert sorted(found["leakage"]["exact"]["first"]) == [["1/0", "0/0"], ["1/2", "0/13"]]
    assert found["leakage"]["near"]["test_images"] == 1


# ---- groups ----------------------------------------------------------------------------------------------------------


def test_numbered_names_and_patients_are_groups():
    names = [f"p{person}/scan_{n:03d}.png" for person in range(3) for n in range(4)]
    classes = [n % 2 for n in range(12)]
    patients = [f"h{n // 6}" for n in range(12)]
    told = groups.groups(names, patients, classes, ["no", "yes"])
    assert [(group["groups"], group["largest"], group["groups_of_several_classes"]) for group in told] == [
        (2, 6, 2), (3, 4, 3)
    ]  # fmt: skip
    assert told[1]["groups_per_class"] == {"no": 3, "yes": 3}


def test_classes_that_name_their_files_are_no_groups():
    names = [f"{word}/{word}_{n}.png" for word in ("cat", "dog") for n in range(5)]
    assert groups.groups(names, [None] * 10, [0] * 5 + [1] * 5, ["cat", "dog"]) == []
    assert groups.groups(["a.png", "b1.png"], [None] * 2, [-1, -1], []) == []


# ---- suggestions -----------------------------------------------------------------------------------------------------


def of_values(dtype="uint8", channels=3, invalid="none", used=0.9, gray=False, constant=()):
    top = [{"minimum": 0.0, "p1": 1.0, "p50": 50.0, "p99": 100.0, "maximum": 120.0, "used": used, "zeros": 0.0,
            "not_measured": 0.3 * (invalid != "none"), "at_maximum": 0.0} for _ in range(channels)]  # fmt: skip
    for channel in constant:
        top[channel] |= {"p1": 0.0, "p99": 0.0, "maximum": 0.0, "used": 0.0}
    return {"dtype": dtype, "invalid": invalid, "gray_in_color": gray, "channels": top}


def lines_of(values, images=5000, side=300, unreadable=0.0, on=SLOW):
    flags, plan = suggest.suggest("folder:/x", suggest.Needs(images, side, values, unreadable), on, {})
    assert all(flag.reason for flag in flags)
    return [line for flag in flags for line in flag.lines], plan


@pytest.mark.parametrize(
    "values, expected",
    [
        (of_values(), ["--channels=3", "--normalize=none", "--view_arg=hue=0.1"]),
        (of_values(gray=True), ["--channels=1", "--normalize=none"]),
        (of_values(used=0.1), ["--normalize=percentile:1,99"]),
        (of_values("uint16", 1, "0", 0.05), ["--invalid=0", "--views=depth"]),
        (of_values("int16", 1, used=0.05), ["--channels=1", "--normalize=percentile:1,99", "--view_arg=hue=0.05"]),
        (of_values("uint16", 13, used=0.05), ["--channels=13", "--views=multispectral", "--invalid=none"]),
        (of_values("uint16", 2, used=0.05), ["--channels=2", "--views=fluorescence"]),
    ],
)
def test_the_flags_suit_the_kind_and_are_a_run(values, expected):
    lines, _ = lines_of(values)
    assert set(expected) <= set(lines)
    Config.from_flag_lines("\n".join(lines))  # all are known and allowed


def test_a_constant_channel_gets_a_range_that_is_one():
    lines, _ = lines_of(of_values("uint16", 2, used=0.1, constant=(1,)))
    (text,) = (line.partition("=")[2] for line in lines if line.startswith("--normalize"))
    assert ranges.parse(text, 2) == ("range", ((1.0, 100.0), (0.0, 1.0)))


def test_a_run_fits_a_night_where_it_can():
    _, slow = lines_of(of_values(), on=SLOW)
    _, fast = lines_of(of_values(), images=100_000, on=FAST)
    assert fast.backbone == "resnet50" and fast.image_size == 224 and slow.image_size < 224
    assert max(slow.seconds, fast.seconds) <= 1.05 * suggest.NIGHT and fast.steps >= suggest.STEPS
    _, few = lines_of(of_values(), images=20)
    assert 2 <= few.batch_size <= 20


def test_unreadable_files_are_allowed_for():
    lines, _ = lines_of(of_values(), unreadable=0.043)
    assert "--max_bad_fraction=0.06" in lines
