"""The rows of an evaluation as a person reads them."""

from ssl_keras.encoders import stages


def table(rows: list[dict]) -> str:
    """The rows as text: a line for each encoder and layer, a column for each score, in percent.

    Below them stands what is to be known of an evaluation. Where one could not be made stands a dash.
    """
    cells = {(_row_name(row), _column(row, metric)): row[metric] for row in rows for metric in row["metrics"]}
    names, columns = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    shown = {key: "-" if value is None else f"{100 * value:.1f}" for key, value in cells.items()}
    left = max(map(len, names))
    widths = [max(10, len(column) + 2) for column in columns]
    lines = [" " * left + "".join(f"{column:>{width}}" for column, width in zip(columns, widths))]
    for name in names:
        values = (shown.get((name, column), "") for column in columns)
        lines.append(f"{name:<{left}}" + "".join(f"{value:>{width}}" for value, width in zip(values, widths)))
    caveats = {row["eval"]: row["caveat"] for row in rows if "caveat" in row}
    lines += [f"{evaluation}: {caveat}" for evaluation, caveat in caveats.items()]
    return "\n".join(lines)


def failures(rows: list[dict]) -> list[str]:
    """A sentence for each reason for which evaluations could not be made."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if "error" in row:
            reasons.setdefault(row["error"], []).append(f"{row['eval']} of {_row_name(row)}")
    return [f"{', '.join(which)}: {reason}" for reason, which in reasons.items()]


def _row_name(row: dict) -> str:
    return row["encoder"] + ("" if row["layer"] == stages.WHOLE else f" {row['layer']}")


def _column(row: dict, metric: str) -> str:
    return row["eval"] if metric == "top1" else f"{row['eval']} {metric}"
