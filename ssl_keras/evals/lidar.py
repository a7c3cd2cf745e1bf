"""Without labels: LiDAR and alignment, how an encoder tells images apart beside how it tells views of one apart.

Source: LiDAR, arXiv:2312.04000, section 4 (1,000 images, 50 views of each); alignment, arXiv:2005.10242, section 4.1.
Compare encoders that see the same views only: LiDAR counts what the views leave alone.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from ssl_keras.data.canvases import batches
from ssl_keras.errors import UserError
from ssl_keras.evals.features import LARGEST
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.scores import spectrum
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews
from ssl_keras.views.policy import Policy

NEEDS = ("images",)
BATCH = 256


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the views.

    Args:
        images: training images, spread over the data; all where these are fewer
        views: random views of each
        recipe: name of the recipe whose first view is drawn; without it that of the run
    """

    images: int = 1000
    views: int = 50
    recipe: str = ""

    def __post_init__(self):
        if self.images < 2 or self.views < 2:
            raise UserError(
                f"--lidar_images and --lidar_views must be at least 2, got {self.images} and {self.views}"
            )


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """LiDAR (from 1 to D; higher is better) and alignment (from 0, the best, to 4).

    Raises:
        UserError: there are features alone, no images; an unknown recipe; features that are not finite.
    """
    size = subject.encoding.image_size
    x = _features(subject, policies.get(options.recipe, size)[0] if options.recipe else subject.views[0], options)
    if not np.abs(x).max() < LARGEST:
        raise UserError("the features of some views are not finite: the encoder is of a run that diverged")
    if len(x) < 2:
        raise UserError("images are told apart, two at least, and there is one")
    known = {"images": len(x), "views": options.views, "recipe": options.recipe or "that of the run"}
    known |= {"dimension": x.shape[2], "enough_images": len(x) >= 4 * x.shape[2]}
    return [
        Row("lidar", spectrum.lidar(x), known, share=False),
        Row("alignment", spectrum.alignment(x[:, 0], x[:, 1]), known, share=False),
    ]


def _features(subject: Subject, policy: Policy, options: Options) -> np.ndarray:
    """float32 [images, views, D]."""
    encode, size, _ = subject.encoding
    images, sizes = batches.sample(subject.images[0], min(options.images, len(subject.images[0])))
    gaps, policy = subject.images[0].spec.gaps, dataclasses.replace(policy, size=size)  # also of views that are cut
    make = RandomViews((policy,), size, seed=subject.seed, gaps=gaps, mark_gaps=gaps)
    embed = tf.function(lambda view: tf.cast(encode(view), tf.float32), autograph=False)
    rows = min(BATCH, len(images))
    found = []
    for number, start in enumerate(range(0, len(images), rows)):
        here = slice(start, start + rows)
        canvases, extents = np.resize(images[here], [rows, *images.shape[1:]]), np.resize(sizes[here], [rows, 2])
        steps = (tf.constant(number * options.views + view, tf.int64) for view in range(options.views))
        x = np.stack([embed(make(canvases, extents, step=step)[0]).numpy() for step in steps], axis=1)
        found.append(x[: len(images[here])])
    return np.concatenate(found)
