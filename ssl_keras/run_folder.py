"""A run's folder: the names of what a run leaves there, and who may write under them."""

import os

from ssl_keras import files
from ssl_keras.errors import UserError

BAD_FILES = "bad_files.txt"
ENCODER = "encoder.keras"
IMAGES = "images.tsv.gz"
REPORT = "report.html"
# What lies in a run's folder, by name; evaluations add files to `evals`.
NAMES = (
    "flags.txt",
    "metrics.jsonl",
    "tensorboard",
    "checkpoints",
    ENCODER,
    "summary.json",
    "evals",
    IMAGES,
    BAD_FILES,
    REPORT,
)


def check_free(workdir: str) -> None:
    """Refuses a folder for a run where something else lies under a name that the run would write.

    Other names may be taken: a run leaves them alone.

    Raises:
        UserError: the path is a file, or the folder holds such things without a run's flags.txt.
    """
    if os.path.exists(workdir) and not os.path.isdir(workdir):
        raise UserError(f"--workdir={workdir} is a file; name a folder")
    if os.path.exists(os.path.join(workdir, "flags.txt")):
        return
    taken = [name for name in NAMES if _filled(os.path.join(workdir, name))]
    # A run that was refused for its files leaves this one alone.
    if taken and not (taken == [BAD_FILES] and is_bad_list(os.path.join(workdir, BAD_FILES))):
        raise UserError(
            f"--workdir={workdir} holds no run, but {', '.join(taken)}, which a run would replace: name another folder"
        )


def refuse_own(workdir: str, output: str, but: tuple[str, ...] = ()) -> None:
    """Refuses an output path that is one of a run's own files, or lies in one of its own folders.

    Args:
        but: names of own files that may be written.

    Raises:
        UserError: it is.
    """
    folder, path = os.path.realpath(workdir), os.path.realpath(output)
    own = os.path.relpath(path, folder).split(os.sep)[0]
    if path == folder or (own in NAMES and own not in but):
        raise UserError(f"--output={output} belongs to the run in {workdir}: name a path of its own")


def is_bad_list(path: str) -> bool:
    """Whether a file is a `bad_files.txt`: lines of a name, a tab and a reason."""
    try:
        with open(path, encoding="utf-8") as file:
            return all(line.count("\t") == 1 for line in file)
    except (OSError, ValueError):
        return False


def write_bad_files(workdir: str, bad: list[tuple[str, str]]) -> None:
    """`bad_files.txt`: a line "path<TAB>reason" for each file that could not be read; no file where there is none."""
    if bad:
        lines = [f"{name}\t{reason}\n" for name, reason in bad]
        files.write_text(os.path.join(workdir, BAD_FILES), "".join(lines))


def _filled(path: str) -> bool:
    """Whether something lies at a path: a file, or a folder with something in it."""
    return os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path))
