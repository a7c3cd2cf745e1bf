"""The page: what was found, in one HTML file that needs no network."""

import base64
import io
import pathlib

import jinja2
from PIL import Image

FOLDER = pathlib.Path(__file__).parent
GENERATOR = "ssl_keras inspect_data"  # in the page, by which a later one knows it
QUALITY = 88  # of the JPEG


def is_page(path: str) -> bool:
    """Whether a file is a page that this program wrote: only then may it be replaced."""
    try:
        with open(path, encoding="utf-8") as file:
            return f'name="generator" content="{GENERATOR}"' in file.read(2000)
    except (OSError, ValueError):
        return False


def render(found: dict, summary: list[str], remarks: list[str], flagfile: str, sheet: Image.Image) -> str:
    """The HTML.

    Args:
        found: what inspection.json holds.
        summary, remarks: see `words`.
        flagfile: the text that is suggested.
        sheet: see `sheet.draw`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    file = io.BytesIO()
    sheet.save(file, format="JPEG", quality=QUALITY)
    return environment.get_template("page.html").render(
        found=found,
        generator=GENERATOR,
        summary=[line.partition(": ")[::2] for line in summary if not line.startswith(" ")],
        remarks=remarks,
        flagfile=flagfile,
        sheet="data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode(),
        sheet_size=sheet.size,
        histogram=histogram(found["sizes"]["histogram"]),
    )


def histogram(cells: list[dict]) -> dict:
    """The histogram of sizes as a table: widths from left to right, heights downwards; "" where there is none."""
    rows = sorted({cell["height_from"] for cell in cells})
    columns = sorted({cell["width_from"] for cell in cells})
    counts = {(cell["height_from"], cell["width_from"]): cell["images"] for cell in cells}
    return {"columns": columns, "rows": [(row, [counts.get((row, column), "") for column in columns]) for row in rows]}
