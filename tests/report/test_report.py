"""The report: the tool writes it, and a browser shows it."""

import os
import pathlib
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from ssl_keras.report import page
from ssl_keras.report.gallery import SIDE, thumbnail
from tests.browser import chromium
from tests.runs import TINY, run_tool

LARGEST = 10e6  # bytes


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """The finished run, in a folder of its own."""
    return shutil.copytree(finished, tmp_path_factory.mktemp("report") / "a")


@pytest.fixture(scope="module")
def report(run):
    """The report of a run beside one that was trained with labels."""
    supervised = run.parent / "supervised"
    settings = ["--method=supervised", "--views=supervised_cifar", "--epochs=1", f"--workdir={supervised}"]
    run_tool("pretrain", *[flag for flag in TINY if not flag.startswith(("--views", "--epochs"))], *settings)
    done = run_tool("report", f"--workdir={run}", f"--against={supervised}", "--thumbnails=150")
    assert f"written: {run}/report.html" in done.stdout and not done.stderr
    return run / "report.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def test_the_report_says_what_evaluate_says(report, run):
    text = report.read_text()
    assert len(text) < LARGEST and page.is_report(str(report))
    done = run_tool("evaluate", f"--workdir={run}", "--eval=linear,knn", "--encoder=run,random")
    for line in done.stdout.splitlines():
        if line.startswith(("run ", "random ")):
            for number in line.split()[1:]:
                assert f"<td>{number}</td>" in text
    for part in ("Was it worth it?", "Nearest neighbors", "Labels to check", "Label these next", "resnet8", "--epochs"):
        assert part in text
    assert re.search(r'class="sentence">[^<]*linear classifier on this encoder is right for', text)


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("light", 400), ("dark", 1280), ("dark", 400)])
def test_a_browser_shows_it_offline(report, browser, tmp_path, scheme, width):
    touch = width == 400
    window = {"viewport": {"width": width, "height": 900}, "has_touch": touch, "reduced_motion": "reduce"}
    context = browser.new_context(color_scheme=scheme, offline=True, **window)
    tab, said, asked = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(f"file://{report}")
    tab.wait_for_selector("#map_figure[data-ready=true]", state="attached")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width  # nothing lies beside the page
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) > 380) == (scheme == "light")

    tab.locator("#mapbox").scroll_into_view_if_needed()
    place = tab.evaluate(
        """() => {
          const map = document.getElementById("map_figure"), box = map.getBoundingClientRect();
          const trace = map._fullData[0];
          const x = map._fullLayout.xaxis, y = map._fullLayout.yaxis;
          return [box.left + x._offset + x.l2p(trace.x[0]), box.top + y._offset + y.l2p(trace.y[0])];
        }"""
    )
    tab.touchscreen.tap(*place) if touch else tab.mouse.move(*place)
    tab.wait_for_function("!document.getElementById('tip').hidden")
    assert "image" in tab.locator("#maptext").inner_text()
    tab.locator("#mapbox").focus()
    told = tab.locator("#maptext").inner_text()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#maptext").inner_text() != told

    tab.get_by_role("button", name="PCA").click()
    assert tab.get_by_role("button", name="PCA").get_attribute("aria-pressed") == "true"
    tab.locator(".pick").first.click()
    assert tab.get_by_role("dialog").is_visible()
    tab.keyboard.press("Escape")
    for step in range(0, tab.evaluate("document.documentElement.scrollHeight"), 700):
        tab.evaluate(f"window.scrollTo(0, {step})")
        tab.wait_for_timeout(30)
    tab.wait_for_selector("#singular_values .main-svg")
    folder = pathlib.Path(os.environ.get("SSL_KERAS_SCREENSHOTS") or tmp_path)  # where a person looks at them
    picture = folder / f"report_{scheme}_{width}.png"
    tab.screenshot(path=picture, full_page=True)
    assert Image.open(picture).size[0] == width
    assert not said and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def test_images_without_labels(run, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"</script>{number}.png".replace("/", "∕"))
    output = tmp_path / "report.html"
    run_tool("report", f"--workdir={run}", f"--data=folder:{folder}", f"--output={output}", "--thumbnails=100")
    text = output.read_text()
    assert "these images have no labels" in text and "Labels to check" not in text
    assert text.count("</script>") == 3 and "\\u003c\\u2215script" in text
    assert "Label these next" in text and "silhouette" in text


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "--workdir is missing"),
        (["--thumbnails=9"], "--thumbnails must be between 100 and 5000"),
        (["--against=nowhere"], "no encoder at 'nowhere'"),
        (["--output=OTHER"], "was not written by this program, so it is not replaced"),
        (["--output=RUN/flags.txt"], "belongs to the run"),
    ],
)
def test_mistakes_are_said_before_anything_is_scored(run, tmp_path, arguments, words):
    other = tmp_path / "other.html"
    other.write_text("mine")
    workdir = [f"--workdir={run}"] if arguments else []
    asked = [argument.replace("OTHER", str(other)).replace("RUN", str(run)) for argument in arguments]
    done = run_tool("report", *workdir, *asked, status=1)
    assert words in done.stderr and "scores" not in done.stdout and other.read_text() == "mine"


def test_thumbnails_keep_the_proportions_of_the_image():
    wide = thumbnail(np.ones((32, 32, 3)), np.array([50.0, 100.0]))
    white = (wide > 250).all(axis=2)
    assert white.any(axis=1).sum() == SIDE / 2 and white.any(axis=0).sum() == SIDE
    gray = thumbnail(np.full((32, 32, 1), 0.5), np.array([32.0, 32.0]))
    assert gray.shape == (SIDE, SIDE, 3) and abs(int(gray[9, 9, 2]) - 128) <= 1
