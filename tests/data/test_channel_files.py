"""Files that are the channels of one image: which belong together, and what is read from them."""


import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.config import Config
from ssl_keras.data.canvases.memory import load_canvases
from ssl_keras.data.canvases.pipeline import BadFilesError, CanvasSpec
from ssl_keras.data.folders.channel_files import grouped, parse
from ssl_keras.data.sources import folder, open_source
from ssl_keras.data.stacks import Channel, enlarged

S2 = ["1", "2", "3", "4", "5", "6", "7", "8", "8A", "9", "10", "11", "12"]


@pytest.fixture(autouse=True)
def plain_folders():
    yield
    folder.use(folder.Cut())


def opened(path, channels_from, invalid="auto", split="train"):
    folder.use(folder.Cut(channels_from=channels_from, invalid=invalid))
    return open_source(f"folder:{path}", split)


def groups_of(paths, text):
    return {group.name: group.files for group in grouped(sorted(paths), parse(text))[0]}


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


# ---- which files belong together -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, paths, expected",
    [
        ("{}d0.tif,{}d1.tif", ["x/ad0.tif", "x/ad1.tif"], {"x/a": ("x/ad0.tif", "x/ad1.tif")}),
        ("{}/B2.tif,{}/B1.tif", ["s/t/B1.tif", "s/t/B2.tif"], {"s/t": ("s/t/B2.tif", "s/t/B1.tif")}),
        ("{}B1.tif,{}B2.tif", ["B1.tif", "B2.tif"], {"": ("B1.tif", "B2.tif")}),
        ("red/{}.png,nir/{}.png", ["nir/c/1.png", "red/c/1.png"], {"c/1": ("red/c/1.png", "nir/c/1.png")}),
        ("{}/red/{}.png,{}/nir/{}.png", ["train/nir/1.png", "train/red/1.png"],
         {"train/1": ("train/red/1.png", "train/nir/1.png")}),
        ("{}_w1*.tif,{}_w2*.tif", ["a_w1F00.tif", "a_w2BA.tif"], {"a": ("a_w1F00.tif", "a_w2BA.tif")}),
        ("{}1.tif,{}11.tif", ["b1.tif", "b11.tif"], {"b": ("b1.tif", "b11.tif")}),  # what spells out more wins
        ("{}.a+b.tif", ["x.a+b.tif", "x.aab.tif"], {"x": ("x.a+b.tif",)}),  # no regular expression
    ],
)  # fmt: skip
def test_files_with_the_same_text_in_place_of_the_braces_are_one_image(text, paths, expected):
    assert groups_of(paths, text) == expected


def test_a_missing_file_is_none_and_others_are_passed_over_with_a_remark():
    groups, remarks = grouped(["a_r.png", "b_g.png", "b_r.png", "notes.png"], parse("{}_r.png,{}_g.png"))
    assert [group.files for group in groups] == [("a_r.png", None), ("b_r.png", "b_g.png")]
    assert "passed over 1 file that no pattern of --channels_from matches; first: notes.png" in remarks


@pytest.mark.parametrize(
    "text, message",
    [
        ("{}d0.tif,d1.tif", "'d1.tif' has no {}"),
        ("{}d0.tif,", "'' has no {}"),
        ("{}d0.tif, {}d0.tif", "has {}d0.tif twice"),
        ("{}d0.tif,{}/{}d1.tif", "same number of {}"),
    ],
)
def test_a_wrong_pattern_is_refused_before_the_data_is_looked_at(text, message):
    with pytest.raises(ValueError, match=message):
        Config(data="folder:x", channels_from=text)


def test_other_data_than_folders_is_refused_and_an_evaluation_on_it_leaves_the_flags_out():
    for name, value in (("channels_from", "{}a.png"), ("tile", "32")):
        with pytest.raises(ValueError, match=f"--{name} is for --data=folder:PATH, and the data is npy:x.npy"):
            Config(data="npy:x.npy", **{name: value})
        config = Config(data="folder:x", **{name: value})
        assert getattr(config.with_data("npy:y.npy"), name) == ""
        assert getattr(config.with_data("folder:y"), name) == value
        assert Config.from_flag_lines(config.flag_lines()) == config


@pytest.mark.parametrize(
    "text, paths, message",
    [
        ("{}_w1*.tif", ["a_w1X.tif", "a_w1Y.tif"], "two files match .* for the image a, a_w1X.tif and a_w1Y.tif"),
        ("{}_r.png,{}_g.png", ["a_R.png", "a_g.png"], r"none of 2 files matches \{\}_r.png; they are such as a_R.png"),
        ("{}_a*.png,{}*_b.png", ["x_a_b.png", "y_b.png"], "x_a_b.png matches .* and "),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused(text, paths, message):
    with pytest.raises(ValueError, match=message):
        grouped(sorted(paths), parse(text))


# ---- what is read ----------------------------------------------------------------------------------------------------


def test_channels_of_a_microscope_are_stacked_in_the_order_of_the_flag(real_data):
    tifffile = pytest.importorskip("tifffile", reason="pip install -r requirements-imaging.txt")
    path = real_data / "microscopy" / "ExampleHuman"
    source = opened(path, "{}d2.tif,{}d0.tif,{}d1.tif")
    assert len(source) == 1 and source.arrays == (3, "uint8") and source.shapes.tolist() == [[512, 512]]
    stem = "AS_09125_050116030001_D03f00"
    assert source.describe(0) == str(path / stem)
    expected = [tifffile.imread(path / f"{stem}d{k}.tif") for k in (2, 0, 1)]
    np.testing.assert_array_equal(source.read(0), np.stack(expected, -1))


@pytest.mark.parametrize("form", ["{}/B%s.tif", "{}B%s.tif"])
def test_satellite_bands_in_a_folder_for_each_scene_are_resized_to_the_largest(real_data, form):
    tifffile = pytest.importorskip("tifffile", reason="pip install -r requirements-imaging.txt")
    path = real_data / "satellite" / "SSL4EO-S12" / "s2c"
    source = opened(path, ",".join(form % band for band in S2))
    assert len(source) == 2 and source.arrays == (13, "float32") and source.shapes.tolist() == [[264, 264]] * 2
    assert any("such as 44 x 44, 132 x 132, 264 x 264 px" in remark for remark in source.remarks)
    image = source.read(1)
    for number, band in enumerate(S2):
        stored = tifffile.imread(f"{source.describe(1)}/B{band}.tif").astype(np.float32)[..., None]
        expected = tf.image.resize(stored, [264, 264])[..., 0].numpy()
        np.testing.assert_allclose(image[..., number], expected, rtol=1e-5, atol=0.01)
        assert stored.shape[0] < 264 or (image[..., number] == stored[..., 0]).all()


def test_every_real_set_of_files_is_read_with_one_flag(real_data):
    pytest.importorskip("tifffile", reason="pip install -r requirements-imaging.txt")
    satellite, bands = real_data / "satellite", ["01", "02", "03", "04", "05", "06", "07", "08", "8A", "09", "11", "12"]
    sets = [
        (satellite / "BigEarthNet", ",".join(f"{{}}_B{band}.tif" for band in bands), 1, 12),
        (satellite / "BigEarthNet" / "BigEarthNet-S1", "{}_VV.tif,{}_VH.tif", 1, 2),
        (satellite / "SSL4EO-S12" / "s1", "{}/VV.tif,{}/VH.tif", 2, 2),
        (satellite / "SSL4EO-S12" / "s2a", ",".join(f"{{}}/B{band}.tif" for band in S2 if band != "10"), 2, 12),
        (real_data / "microscopy" / "ExampleIlluminationCorrection", "{}_w2*.tif", 1, 1),
    ]
    for path, flag, images, channels in sets:
        source = opened(path, flag)
        assert (len(source), source.arrays[0]) == (images, channels)
        assert [*source.read(0).shape[:2]] == source.shapes[0].tolist()


def test_ordinary_images_are_channels_too_and_three_equal_colors_are_one(tmp_path):
    rng = np.random.default_rng(0)
    gray = save(tmp_path / "x_a.png", rng.integers(0, 256, (20, 30), np.uint8))
    same = save(tmp_path / "x_b.png", np.repeat(rng.integers(0, 256, (20, 30, 1), np.uint8), 3, 2))
    save(tmp_path / "x_c.jpg", rng.integers(0, 256, (20, 30), np.uint8))
    source = opened(tmp_path, "{}_a.png,{}_b.png,{}_c.jpg")
    expected = [gray, same[..., 0], np.asarray(Image.open(tmp_path / "x_c.jpg"))]
    assert source.arrays == (3, "uint8")
    np.testing.assert_array_equal(source.read(0), np.stack(expected, -1))
    save(tmp_path / "x_b.png", rng.integers(0, 256, (20, 30, 3), np.uint8))
    with pytest.raises(ValueError, match=r"x_b\.png: it has 3 channels, and --channels_from takes files of one"):
        opened(tmp_path, "{}_a.png,{}_b.png,{}_c.jpg").read(0)


def test_16_bits_stay_16_bits_and_other_types_keep_their_numbers_and_are_said(tmp_path):
    rng = np.random.default_rng(0)
    deep = [save(tmp_path / f"x_{k}.png", rng.integers(0, 65536, (16, 16)).astype(np.uint16)) for k in "ab"]
    source = opened(tmp_path, "{}_b.png,{}_a.png")
    assert source.arrays == (2, "uint16") and not any("types" in remark for remark in source.remarks)
    np.testing.assert_array_equal(source.read(0), np.stack(deep[::-1], -1))
    shallow = save(tmp_path / "x_c.png", rng.integers(0, 256, (16, 16), np.uint8))
    source = opened(tmp_path, "{}_a.png,{}_c.png")
    assert source.arrays == (2, "float32")
    assert any("types ({}_a.png uint16, {}_c.png uint8)" in remark for remark in source.remarks)
    np.testing.assert_array_equal(source.read(0), np.stack([deep[0], shallow], -1))


def test_classes_and_splits_are_those_of_the_images_names(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for k in range(2):
                for channel in "rg":
                    save(tmp_path / split / name / f"{k}_{channel}.png", np.full((8, 8), k, np.uint8))
    train = opened(tmp_path, "{}_r.png,{}_g.png")
    test = opened(tmp_path, "{}_r.png,{}_g.png", split="test")
    assert len(train) == len(test) == 4 and train.class_names == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 1, 1] and "test/dog/1" in test.describe(3)


def test_an_image_without_a_channel_is_one_that_cannot_be_read(tmp_path):
    for k in range(3):
        for channel in "rgb"[: 3 - (k == 1)]:
            save(tmp_path / f"{k}_{channel}.png", np.full((8, 8), k, np.uint8))
    spec = CanvasSpec(8, 3, "uint8")
    source = opened(tmp_path, "{}_r.png,{}_g.png,{}_b.png")
    with pytest.raises(BadFilesError, match=r"/1: channel 3 is missing: there is no file \{\}_b.png"):
        load_canvases(source, spec)
    canvases = load_canvases(source, spec, max_bad_fraction=0.5)
    assert canvases.index.tolist() == [0, 2] and len(canvases.bad) == 1
    assert "1 image without a file for each channel: they cannot be read" in source.remarks


def test_channels_of_other_proportions_and_damaged_ones_are_named(tmp_path):
    save(tmp_path / "x_a.png", np.zeros((20, 20), np.uint8))
    save(tmp_path / "x_b.png", np.zeros((10, 20), np.uint8))
    with pytest.raises(ValueError, match=r"different shapes: x_b\.png has 10 x 20 px, and the largest 20 x 20"):
        opened(tmp_path, "{}_a.png,{}_b.png").read(0)
    (tmp_path / "x_b.png").write_bytes((tmp_path / "x_a.png").read_bytes()[:50])
    with pytest.raises(ValueError, match=r"x_b\.png: damaged"):
        opened(tmp_path, "{}_a.png,{}_b.png").read(0)


# ---- what was not measured -------------------------------------------------------------------------------------------


def test_what_was_not_measured_does_not_bleed_into_its_neighbors():
    pixels = np.full((4, 4), 1000.0, np.float32)
    pixels[:, 2:] = 0.0
    found, valid = enlarged(Channel(pixels, pixels > 0), (16, 16))
    np.testing.assert_allclose(found[valid], 1000.0, rtol=1e-6)
    np.testing.assert_array_equal(valid, np.repeat([[True] * 8 + [False] * 8], 16, 0))
    plain, all_valid = enlarged(Channel(pixels, None), (16, 16))
    assert all_valid is None and np.unique(plain).size > 2  # with nothing said, 0 is a number like another


def test_the_nodata_number_of_a_tiff_is_no_measurement(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="pip install -r requirements-imaging.txt")
    small = np.full((8, 8), 500, np.uint16)
    small[:, :4] = 9999
    tifffile.imwrite(tmp_path / "x_a.tif", small, extratags=[(42113, "s", 0, "9999", True)])
    tifffile.imwrite(tmp_path / "x_b.tif", np.full((16, 16), 700, np.uint16))
    band = opened(tmp_path, "{}_a.tif,{}_b.tif").read(0)[..., 0]
    assert np.isnan(band[:, :8]).all() and (band[:, 8:] == 500).all()


def test_the_invalid_number_of_the_flag_holds_for_bands_of_unequal_size(tmp_path):
    small, large = np.full((8, 8), 500, np.uint16), np.full((16, 16), 700, np.uint16)
    small[:, :4], large[:2] = 0, 0
    save(tmp_path / "x_a.png", small)
    save(tmp_path / "x_b.png", large)
    image = opened(tmp_path, "{}_a.png,{}_b.png", invalid="0").read(0)
    assert sorted(np.unique(image[..., 0])) == [0, 500] and (image[..., 0] == 0).mean() == 0.5
    np.testing.assert_array_equal(image[..., 1], large)
    assert np.unique(opened(tmp_path, "{}_a.png,{}_b.png").read(0)[..., 0]).size > 2
