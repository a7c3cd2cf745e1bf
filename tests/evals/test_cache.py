"""Features that come from disk are those that would be computed; whatever changes is computed anew."""

import errno
import json
import os
import resource

import keras
import numpy as np
import pytest

from ssl_keras.data.canvases import memory
from ssl_keras.data.canvases.streams import StreamedCanvases
from ssl_keras.encoders.encoder import Encoder
from ssl_keras.evals import cache, features
from ssl_keras.evals import run as evaluation
from ssl_keras.evals.cache import FeatureCache
from ssl_keras.evals.subject import Encoding
from tests.evals import networks
from tests.runs import run_tool
from tests.test_evaluation import encoder_file, write_images

SAID = "features come from the cache in"


@pytest.fixture
def counted(monkeypatch):
    """How many images were given to an encoder."""
    calls = []
    extract = features.extract
    monkeypatch.setattr(features, "extract", lambda embed, images: calls.append(len(images)) or extract(embed, images))
    return calls


def pair():
    return networks.canvases(0, 24), networks.canvases(1, 12)


def taken(folder, encoder, images, layer="representation", size=networks.SIDE, crop="center"):
    encode = encoder.cut(layer) if isinstance(encoder, Encoder) else encoder
    return FeatureCache(str(folder), 178).extract(Encoding(encode, size, crop), layer, images)


def same(found, expected):
    return all(
        getattr(a, name).tobytes() == getattr(b, name).tobytes() and getattr(a, name).dtype == getattr(b, name).dtype
        for a, b in zip(found, expected, strict=True)
        for name in ("x", "labels", "rows")
    )


def changed_weight(encoder):
    copy = keras.models.clone_model(encoder.model)
    values = encoder.model.get_weights()
    values[-1] = values[-1] + 1e-6
    copy.set_weights(values)
    return Encoder(copy, encoder.contract)


def test_what_is_there_is_not_computed_again_and_is_the_same(tmp_path, counted, capsys):
    encoder, images = networks.encoder(), pair()
    plain = tuple(features.extract(features.embedder(encoder, networks.SIDE), part) for part in images)
    counted.clear()
    first = taken(tmp_path / "new", encoder, images)
    assert counted == [24, 12] and SAID not in capsys.readouterr().out
    again = taken(tmp_path / "new", networks.encoder(), pair())  # the same, made anew, under other automatic names
    assert counted == [24, 12] and capsys.readouterr().out.count(SAID) == 1
    assert same(first, plain) and same(again, plain)
    assert not [name for name in os.listdir(tmp_path / "new") if not name.endswith(".npz")]


def test_whatever_changes_is_computed_anew(tmp_path, counted, monkeypatch):
    encoder = networks.encoder()
    taken(tmp_path, encoder, pair())
    counted.clear()
    pixel, size, shorter = pair(), pair(), pair()
    pixel[0].images[3, 2, 1, 0] ^= 1
    size[1].sizes[0] += 1
    ways = [
        (changed_weight(encoder), pair(), {}),
        (networks.encoder(width=0.5), pair(), {}),
        (encoder, pair(), {"crop": "squash"}),
        (encoder, pair(), {"layer": "stage1"}),
        (features.encode_pixels, pair(), {}),
        (features.encode_pixels, pair(), {"size": 12}),
        (encoder, (pixel[0], pixel[0]), {}),
        (encoder, (size[1], size[1]), {}),
        (encoder, (shorter[0].subset(np.arange(20)),) * 2, {}),
    ]
    for given, images, options in ways:
        before = len(counted)
        taken(tmp_path, given, images, **options)
        assert len(counted) > before, options
    before = len(counted)
    monkeypatch.setattr(cache.ssl_keras, "__version__", "another")
    taken(tmp_path, encoder, pair())
    assert counted[before:] == [24, 12]


def test_labels_are_those_of_now(tmp_path, counted):
    encoder, images = networks.encoder(), pair()
    taken(tmp_path, encoder, images)
    for part in images:
        part.labels[:] = 7
    found = taken(tmp_path, encoder, images)
    assert counted == [24, 12] and all((part.labels == 7).all() for part in found)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "other numbers"])
def test_a_damaged_file_is_computed_anew(damage, tmp_path, counted, capsys):
    encoder, images = networks.encoder(), pair()
    first = taken(tmp_path, encoder, images)
    for name in os.listdir(tmp_path):
        path = tmp_path / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "flipped": content}.get(damage, b""))
        if damage == "other numbers":
            np.savez(path, x=np.zeros((3, 4), np.float32))
    assert same(taken(tmp_path, encoder, images), first)
    assert counted == [24, 12] * 2 and capsys.readouterr().out.count("is damaged: its features are computed anew") == 2
    assert same(taken(tmp_path, encoder, images), first) and counted == [24, 12] * 2  # it was mended


def test_a_full_disk_is_said_and_nothing_half_written_stays(tmp_path, counted, capsys):
    encoder, images = networks.encoder(), pair()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        found = taken(tmp_path, encoder, images)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().out
    assert said.count("nothing can be written to") == 1 and os.strerror(errno.EFBIG) in said
    assert len(found[0].x) == 24 and os.listdir(tmp_path) == []


def evaluated(data, folder, encoder, **options):
    request = evaluation.request_from(
        {"data": f"folder:{data}"},
        encoder,
        "knn,linear",
        None,
        options={"knn": {"k": (3,)}},
        feature_cache=folder and str(folder),
        **options,
    )
    return evaluation.evaluate(request)


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setattr(memory, "MEMORY_SHARE", 0.0)


@pytest.mark.parametrize("way", ["memory", pytest.param("streamed", marks=pytest.mark.slow)])
def test_rows_are_the_same_with_and_without(way, tmp_path, request, counted):
    if way == "streamed":
        request.getfixturevalue("streamed")
    write_images(tmp_path / "data", {"cat": 10, "dog": 10})
    encoder = encoder_file(tmp_path / "a.keras", 1.0)
    plain = evaluated(tmp_path / "data", None, f"{encoder},pixels")
    seen = len(counted)
    first = evaluated(tmp_path / "data", tmp_path / "cache", f"{encoder},pixels")
    assert len(counted) == 2 * seen
    again = evaluated(tmp_path / "data", tmp_path / "cache", f"pixels,{encoder}")
    assert len(counted) == 2 * seen
    assert first == plain and sorted(again, key=str) == sorted(plain, key=str)


def test_streamed_files_that_change_are_computed_anew(tmp_path, streamed, counted):
    write_images(tmp_path / "data", {"cat": 10, "dog": 10})
    evaluated(tmp_path / "data", tmp_path / "cache", "pixels")
    counted.clear()
    one = tmp_path / "data" / "cat" / "0.png"
    known = one.stat()
    one.write_bytes(one.read_bytes())
    os.utime(one, ns=(known.st_atime_ns, known.st_mtime_ns))  # size and time are as before: what is in it need not be
    evaluated(tmp_path / "data", tmp_path / "cache", "pixels")
    assert len(counted) == 1


def test_streamed_images_without_files_go_by_their_pixels(tmp_path, streamed, counted):
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3)).astype(np.uint8)
    np.save(tmp_path / "a.labels.npy", np.arange(20) % 2)
    computed = []
    for first_pixel in (1, 1, 2):
        images[0, 0, 0, 0] = first_pixel
        np.save(tmp_path / "a.npy", images)
        given = {"data": f"npy:{tmp_path}/a.npy", "image_size": 16}
        request = evaluation.request_from(given, "pixels", "ridge", None, feature_cache=str(tmp_path / "cache"))
        data = evaluation.data_for(request)
        assert isinstance(data.images_for("pixels").canvases[0], StreamedCanvases)
        evaluation.evaluate(request, data)
        computed.append(len(counted))
    assert computed == [2, 2, 3]  # of training and test images


def test_nothing_is_kept_of_streamed_images_that_cannot_all_be_read(tmp_path, streamed, counted, capsys):
    write_images(tmp_path / "data" / "train", {"cat": 10, "dog": 10})
    write_images(tmp_path / "data" / "test", {"cat": 10, "dog": 10})
    (tmp_path / "data" / "train" / "cat" / "3.png").write_bytes(b"no image")
    for _ in range(2):
        request = evaluation.request_from(
            {"data": f"folder:{tmp_path}/data", "max_bad_fraction": 0.2}, "pixels", "ridge", None,
            feature_cache=str(tmp_path / "c"),
        )  # fmt: skip
        evaluation.evaluate(request)
    assert len(counted) == 3  # training images twice, test images once
    assert "1 image of 20 cannot be read, so the others are not kept" in capsys.readouterr().out


def test_the_tools_take_it(tmp_path):
    write_images(tmp_path / "data", {"cat": 10, "dog": 10})
    encoder = encoder_file(tmp_path / "a.keras", 1.0)
    folder = tmp_path / "cache"

    def asked():
        command = [f"--data=folder:{tmp_path}/data", f"--encoder={encoder}", "--eval=knn,linear", "--knn_k=3"]
        done = run_tool("evaluate", *command, f"--feature_cache={folder}", f"--output={tmp_path}/rows.json")
        return done.stdout, json.loads((tmp_path / "rows.json").read_text())

    (said, rows), (said_again, rows_again) = asked(), asked()
    assert SAID not in said and said_again.count(SAID) == 1 and rows == rows_again
    assert os.listdir(folder)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").write_text("")
    request = evaluation.request_from({"data": "folder:/x"}, "pixels", "knn", None, feature_cache=f"{tmp_path}/a")
    with pytest.raises(ValueError, match=r"--feature_cache=.* is a file: name a folder"):
        evaluation.check(request)
