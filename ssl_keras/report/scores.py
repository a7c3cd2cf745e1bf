"""The scores of a report: those of `evals.run`, of the run and of all that it is compared with."""

import dataclasses
import os

from ssl_keras.config import Config, read_run
from ssl_keras.encoders import applications, stages
from ssl_keras.evals import REGISTRY, run, seeds
from ssl_keras.evals.data import Data
from ssl_keras.evals.subject import Subject

BASELINES = ("random", "pixels")
KINDS = ("run", "other", "supervised", *BASELINES)  # of encoders, in the order of tables
SUPERVISED = "supervised"  # the method that is trained with labels
CLUSTERS = 10  # where no classes say how many


@dataclasses.dataclass(frozen=True)
class Scores:
    """What was measured.

    Args:
        config: the run's settings.
        data: the images.
        subject: the run's encoder on them.
        rows: a row for each encoder and evaluation, as `evals.run.evaluate` gives them; means of seeds are among them.
        runs: the settings of the run ("run") and of other runs, by the names of their encoders.
    """

    config: Config
    data: Data
    subject: Subject
    rows: list[dict]
    runs: dict[str, Config]

    @property
    def labeled(self) -> bool:
        return self.data.labeled

    def of(self, evaluation: str, pooled: bool = True) -> list[dict]:
        """The rows of an evaluation that could be made, the run's first.

        Args:
            pooled: whether a mean of seeds stands for its runs; else each run stands for itself.
        """
        found = [row for row in self.rows if row["eval"] == evaluation and "error" not in row]
        covered = {name for row in found for name in row.get("runs", ())}
        if pooled:
            found = [row for row in found if "runs" in row or row["encoder"] not in covered]
        else:
            found = [row for row in found if "runs" not in row]
        return sorted(found, key=lambda row: KINDS.index(self.kind(row)))

    def members(self, row: dict) -> tuple[str, ...]:
        """The encoders that a row stands for: of a mean of seeds all of them."""
        return tuple(row.get("runs", (row["encoder"],)))

    def title(self, row: dict) -> str:
        """How a reader knows the encoder of a row."""
        first, number = self.members(row)[0], len(self.members(row))
        known = {"random": "the same network, untrained", "pixels": "raw pixels"}
        if first in known:
            return known[first]
        if applications.is_name(first):
            return f"{first.removeprefix(applications.PREFIX)} of keras.applications"
        if first not in self.runs:
            return os.path.basename(first)
        method = self.runs[first].method
        return f"{method}, mean of {number} seeds" if number > 1 else f"{method}, {self.folder(first)}"

    def folder(self, name: str) -> str:
        """The name of the folder of one of `runs`."""
        return os.path.basename(os.path.abspath(self.config.workdir if name == "run" else name))

    def kind(self, row: dict) -> str:
        """One of `KINDS`."""
        names = self.members(row)
        if "run" in names:
            return "run"
        if names[0] in BASELINES:
            return names[0]
        config = self.runs.get(names[0])
        return "supervised" if config and config.method == SUPERVISED else "other"


def measure(
    given: dict,
    against: tuple[str, ...],
    test_examples: int | None,
    crop: str,
    weights: tuple[str, ...] = (),
    feature_cache: str | None = None,
) -> Scores:
    """Evaluates the run in `given["workdir"]`, its baselines, and what it is compared with.

    With labels: kNN, the linear probe and its calibration; the curve of few labels for what was trained without labels.
    Always: spectrum and clusters, of the run alone.

    Args:
        given: fields of `Config`, see `run.request_from`.
        against: paths of runs' folders and encoder files, and names of `encoders.applications`.
        weights: see `run.request_from`.
        test_examples, crop, feature_cache: see `run.Request`.

    Raises:
        UserError: no finished run, or an encoder or data that cannot be read.
    """
    encoders = ("run", *against, *BASELINES)
    request = run.request_from(
        given,
        ",".join(encoders),
        "knn,linear",
        test_examples,
        crop=crop,
        weights=weights,
        feature_cache=feature_cache,
    )
    run.check(request)
    data = run.data_for(request, labeled=False, keep=("run",))
    runs = {"run": request.config} | {name: read_run(name) for name in against if seeds.is_run(name)}
    seen = ("spectrum", "clusters")
    if data.labeled:
        supervised = [name for name in against if name in runs and runs[name].method == SUPERVISED]
        unsupervised = tuple(name for name in encoders if name not in (*supervised, "pixels"))
        asked = [(encoders, ("knn", "linear")), (unsupervised, ("label_efficiency",)), (("run",), ("calibration",))]
    else:
        asked = []
    rows = []
    for names, evaluations in [*asked, (("run",), seen)]:
        options = {name: REGISTRY.load(name).Options() for name in evaluations}
        if "clusters" in options and not data.labeled:
            options["clusters"] = REGISTRY.load("clusters").Options(number=CLUSTERS)
        print(f"scores: {', '.join(evaluations)}", flush=True)
        rows += run.evaluate(dataclasses.replace(request, encoders=names, evaluations=options), data)
    subject = data.images_for("run").subject(stages.WHOLE, request.config.seed)
    return Scores(request.config, data, subject, rows, runs)
