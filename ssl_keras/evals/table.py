"""The rows of an evaluation as a person reads them."""

from collections.abc import Callable

from ssl_keras.encoders import stages
from ssl_keras.evals import label_efficiency

WIDEST = 120  # characters of a line


def table(rows: list[dict]) -> str:
    """The rows as text: a line for each encoder and layer, a column for each score; shares in percent.
    Columns for which a line is too short stand below.

    Below them stands what is to be known of an evaluation. Where one could not be made stands a dash.
    """
    cells = {}
    for row, varied in zip(rows, _varied(rows)):
        for metric in row["metrics"]:
            cells[_row_name(row), column(row, metric) + varied] = shown(row, metric)
    names, columns = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    left = max(map(len, names))
    longest = {column: max(len(cells.get((name, column), "")) for name in names) for column in columns}
    widths = [max(10, len(column) + 2, longest[column] + 2) for column in columns]
    lines = []
    for start, stop in _blocks([left, *widths]):
        chosen = list(zip(columns, widths))[start:stop]
        lines.append(" " * left + "".join(f"{column:>{width}}" for column, width in chosen))
        for name in names:
            values = (f"{cells.get((name, column), ''):>{width}}" for column, width in chosen)
            lines.append(f"{name:<{left}}" + "".join(values))
    return "\n".join(lines + caveats(rows))


def caveats(rows: list[dict]) -> list[str]:
    """What is to be known of an evaluation of the run's method, each once."""
    found = {row["eval"]: row["caveat"] for row in rows if "caveat" in row}
    return [f"{evaluation}: {caveat}" for evaluation, caveat in found.items()]


def _blocks(widths: list[int]) -> list[tuple[int, int]]:
    """Columns that go beside each other after the first, which each block repeats, as ranges."""
    left, *others = widths
    blocks, start, used = [], 0, left
    for number, width in enumerate(others):
        if used + width > WIDEST and number > start:
            blocks.append((start, number))
            start, used = number, left
        used += width
    return [*blocks, (start, len(others))]


def shown(row: dict, metric: str) -> str:
    """A number with its range, as `52.3 (50.1-54.0)`."""
    value = row[metric]
    if value is None:
        return "-"
    form = "{:.3g}".format if metric in row.get("plain", ()) else lambda share: f"{100 * share:.1f}"
    low_high = row.get("range", {}).get(metric)
    return form(value) + (f" ({form(low_high[0])}-{form(low_high[1])})" if low_high else "")


def _varied(rows: list[dict]) -> list[str]:
    """Of each row, in what it differs from others of the same encoder, layer and evaluation: " k=20", or ""."""
    alike: dict[tuple, list[dict]] = {}
    for row in rows:
        alike.setdefault((row["encoder"], row["layer"], row["eval"]), []).append(row)
    told = []
    for row in rows:
        others = alike[row["encoder"], row["layer"], row["eval"]]
        results = {"metrics", "range", "plain", *(metric for other in others for metric in other["metrics"])}
        names = [name for name in row if name not in results and isinstance(row[name], int | float | str)]
        varied = [name for name in names if any(other.get(name) != row[name] for other in others)]
        told.append("".join(f" {name}={row[name]}" for name in varied[:1]))
    return told


def remarks(rows: list[dict], named: Callable[[dict], str] | None = None) -> list[str]:
    """What the first encoder saves in labels, beside each other one, where curves of label efficiency are there.

    Args:
        named: how the encoder of a row is called; None: as in the table.
    """
    named = named or _row_name
    curves: dict[str, list[dict]] = {}
    for row in rows:
        if row["eval"] == "label_efficiency" and "error" not in row:
            curves.setdefault(named(row), []).append({**row, "encoder": named(row)})
    first, *others = curves.values() if curves else [None]
    return [label_efficiency.saved(first, other) for other in others]


def failures(rows: list[dict]) -> list[str]:
    """A sentence for each reason for which evaluations could not be made."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if "error" in row:
            reasons.setdefault(row["error"], []).append(f"{row['eval']} of {_row_name(row)}")
    return [f"{', '.join(which)}: {reason}" for reason, which in reasons.items()]


def _row_name(row: dict) -> str:
    return row["encoder"] + ("" if row["layer"] == stages.WHOLE else f" {row['layer']}")


def column(row: dict, metric: str) -> str:
    return row["eval"] if metric == "top1" else f"{row['eval']} {metric}"
