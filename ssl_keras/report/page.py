"""The page: what was found, put into one HTML file that needs no network."""

import json
import math
import pathlib

import jinja2
import markupsafe
import plotly.offline

from ssl_keras.report.gallery import COLUMNS

FOLDER = pathlib.Path(__file__).parent
GENERATOR = "ssl_keras report"  # in the page, by which a later one knows it


def is_report(path: str) -> bool:
    """Whether a file is a report that this program wrote: only then may it be replaced."""
    try:
        with open(path, encoding="utf-8") as file:
            return f'name="generator" content="{GENERATOR}' in file.read(4000)
    except (OSError, ValueError):
        return False


def render(found: dict, figures: dict, feature_map: dict, captions: list, sprite: str) -> str:
    """The HTML of a report.

    Args:
        found: what the template names.
        figures: charts by the name of their place in the page, as plain values; `feature_map`: the map's.
        captions: [class, file, part] of each image.
        sprite: the thumbnails, a data URI.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    rows = max(1, math.ceil(len(captions) / COLUMNS))
    payload = {"figures": figures, "map": feature_map, "captions": captions, "columns": COLUMNS, "rows": rows}
    return environment.get_template("page.html").render(
        **found,
        generator=GENERATOR,
        captions=captions,
        sprite={"uri": sprite},
        css=markupsafe.Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        script=markupsafe.Markup((FOLDER / "page.js").read_text(encoding="utf-8")),
        plotly=markupsafe.Markup(plotly.offline.get_plotlyjs()),
        payload=markupsafe.Markup(_in_script(payload)),
    )


def _in_script(value: object) -> str:
    """JSON that can stand in a script element: no name of a file can end it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
