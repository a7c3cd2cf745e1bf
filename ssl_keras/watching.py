"""What watches a run: its numbers, its health, its checkpoints; the callbacks of `experiment`."""

import math
import os

import keras
import numpy as np

from ssl_keras import preview, run_folder
from ssl_keras.config import Config, settings
from ssl_keras.data import identity
from ssl_keras.data.canvases import batches
from ssl_keras.evals.online import online_knn, online_probe, probe_names
from ssl_keras.projector import Projector
from ssl_keras.resolution import parse
from ssl_keras.training.checkpoints import Position
from ssl_keras.training.doctor import Doctor
from ssl_keras.training.finite import StopWhenNotFinite
from ssl_keras.training.gradients import GradientNorms
from ssl_keras.training.health import Health
from ssl_keras.training.metrics_log import MetricsLog
from ssl_keras.training.progress import Progress
from ssl_keras.training.resolution import Resolution
from ssl_keras.training.resources import Resources
from ssl_keras.training.saving import SaveCheckpoints
from ssl_keras.training.score import Score
from ssl_keras.training.signs import Case
from ssl_keras.training.speed import Speed
from ssl_keras.training.tensorboard import TensorBoard
from ssl_keras.views.layer import center_view, crop_of

# Images in which collapse is watched: at most that share of many. Their features are a sixth of a training pass over as
# many, so that watching stays below 3 % of a run.
LEAST_SAMPLE, SAMPLE_SHARE = 256, 0.05


def callbacks(config: Config, method, canvases, checkpoints, position: Position, signals) -> list:
    """What watches the run, in the order in which an epoch's logs are filled and written; one worker does so."""
    resolution = Resolution(parse(config.resolution_schedule), config.epochs)
    finite = StopWhenNotFinite(config.skip_nonfinite, position.skipped)
    speed = Speed(config.batch_size, position.seconds)

    def save(step: int) -> None:
        at = Position(step, position.history, canvases.bad_indices, speed.elapsed(), finite.skipped)
        checkpoints.save(method, at)

    saving = SaveCheckpoints(save, config.checkpoint_interval(), config.epochs, signals)
    if not checkpoints.writes:
        return [resolution, finite, speed, saving]
    own = config.batch_size // method.distribute_strategy.num_replicas_in_sync
    health, case = watched(config, method, canvases, own)
    grid = preview.views_grid(method.views, canvases, batch_size=own)
    directory, probes = _path(config, "tensorboard"), probe_names(config.probe_data).values()
    probe_scores = [f"{score}/{name}" for name in probes for score in ("knn_top1", "ridge_top1")]
    board = TensorBoard(directory, grid, lambda: health.similarities, of_the_result(config), probe_scores)
    doctor = Doctor(case, position.history, board.say, config.stop_on_collapse, math.ceil(config.warmup_epochs or 0))
    return [
        resolution,
        finite,
        speed,
        GradientNorms(),
        health,
        *scores(config, method, canvases),
        MetricsLog(_path(config, "metrics.jsonl"), position.history),
        Resources(),
        board,
        Progress(config.epochs, config.batch_size),
        saving,
        Projector(
            directory, canvases, config.image_size, lambda: identity.read(_path(config, run_folder.IMAGES)).names
        ),
        doctor,  # last: at a collapse it may end the run
    ]


def of_the_result(config: Config) -> dict[str, object]:
    """The settings of a run with another value of which it would be another run."""
    return {name: getattr(config, name) for name, known in settings().items() if known.changes_result}


def remarks(watchers: list) -> list[str]:
    """What the doctor among callbacks has said."""
    return [remark for doctor in watchers if isinstance(doctor, Doctor) for remark in doctor.remarks.values()]


def watched(config: Config, method, canvases, batch_size: int) -> tuple[Health, Case]:
    """What is watched of the representations, and what the doctor must know of the run.

    The sample has four images for each feature where that is at most `SAMPLE_SHARE` of the data: fewer hide a rank.

    Args:
        batch_size: of the training on a device, whose compiled views then make these too.
    """
    dimension = method.encoder.output_shape[-1]
    count = min(len(canvases), 4 * dimension, max(LEAST_SAMPLE, int(SAMPLE_SHARE * len(canvases))))
    images, sizes = batches.sample(canvases, count)
    share = crop_of("center", images.shape[1], config.image_size)
    sample = center_view(images, config.image_size, sizes, share, canvases.spec.gaps).numpy()
    viewed = None
    if len(method.views.views) > 1 and not method.cuts_views:
        viewed = np.resize(images, [batch_size, *images.shape[1:]]), np.resize(sizes, [batch_size, 2])
    queue = getattr(method, "queue", None)
    case = Case(
        len(sample),
        dimension,
        method.z_dim,
        method.chance_loss(config.batch_size),
        method.needs_labels,
        getattr(queue, "age", None),
        getattr(method, "momentum", None),
    )
    return Health(sample, viewed), case


def scores(config: Config, method, canvases) -> list[Score]:
    """What is scored while the run trains: kNN among its own images, and probe sets."""
    found = []
    if config.knn_every:
        for name, encoder in scored(method).items():
            measure = online_knn(config, name, encoder, canvases)
            found.append(Score(measure, config.knn_every, config.epochs))
    for data, name in probe_names(config.probe_data).items():
        measure = online_probe(config, data, name, method.encoder, canvases.spec)
        found.append(Score(measure, config.probe_every, config.epochs))
    return found


def scored(method) -> dict[str, keras.Model]:
    """The encoders whose kNN is watched, by the name in the logs: what is shipped, and a student behind it."""
    student = {} if method.encoder is method.backbone else {"knn_student_top1": method.backbone}
    return {"knn_top1": method.encoder, **student}


def _path(config: Config, name: str) -> str:
    return os.path.join(config.workdir, name)
