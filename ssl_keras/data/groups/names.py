"""`--group_by` as a person writes it, and the group that an image's name tells."""

import re
from typing import NamedTuple

from ssl_keras.errors import UserError

PATIENT = "dicom:patient"
FORMS = f"auto, none, {PATIENT}, folder:N, or a regular expression"
NUMBERED = r"^(.*?)[0-9]+[^0-9]*$"  # its group: what stands before the last number of a name


class Rule(NamedTuple):
    """How groups are known.

    Fields:
        kind: "none", "auto", "patient", "folder" or "pattern".
        folders: of "folder": so many of the path's folders; below 0: all but the last -1 - `folders` ones.
        pattern: of "pattern": a regular expression; its first group counts where it has one, else all that it matches.
    """

    kind: str
    folders: int = 0
    pattern: str = ""


def parse(text: str | None) -> Rule:
    """`--group_by` as a rule; None is "none".

    Raises:
        UserError: it has another form.
    """
    if text in (None, "", "none"):
        return Rule("none")
    if text == "auto":
        return Rule("auto")
    kind, colon, rest = text.partition(":")
    if colon and kind == "dicom":
        if text != PATIENT:
            raise UserError(f"--group_by={text}: expected {PATIENT}; all forms are {FORMS}")
        return Rule("patient")
    if colon and kind == "folder":
        if not re.fullmatch(r"-?[0-9]+", rest) or not int(rest):
            raise UserError(
                f"--group_by={text}: expected folder:N, N a number but 0: folder:1 takes the first folder below "
                "--data, folder:-1 all folders down to the file"
            )
        return Rule("folder", int(rest))
    try:
        re.compile(text)
    except re.error as error:
        raise UserError(f"--group_by={text} is no regular expression ({error}); expected {FORMS}") from None
    return Rule("pattern", pattern=text)


def check(text: str | None, positives: bool, data_service: str | None) -> None:
    """Raises UserError where `--group_by` has no known form, or where its groups cannot be positives.

    Args:
        positives: whether they are asked to be.
    """
    if parse(text).kind == "none" and positives:
        raise UserError(f"--positives=group needs --group_by: say which images belong together, such as by {PATIENT}")
    if positives and data_service:
        raise UserError("--positives=group takes images from memory: leave --data_service out")


def by_pattern(names: list[str], pattern: str) -> list[str | None]:
    """The group of each name, None where the pattern is not found: names in which it finds the same text are one."""
    expression = re.compile(pattern)
    which = 1 if expression.groups else 0
    found = (expression.search(name) for name in names)
    return [match[which] if match else None for match in found]


def by_folder(names: list[str], folders: int) -> list[str | None]:
    """The group of each path, None where it has too few folders: the path of its first folders, see `Rule.folders`."""
    found = []
    for name in names:
        parts = name.split("/")[:-1]
        stop = folders if folders > 0 else len(parts) + 1 + folders
        found.append("/".join(parts[:stop]) if 0 < stop <= len(parts) else None)
    return found
