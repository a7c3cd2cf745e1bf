"""Without labels: in how many directions the features vary (RankMe, arXiv:2210.02885, and others)."""

import dataclasses

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evals.features import check
from ssl_keras.evals.subject import Row, Subject
from ssl_keras.scores import spectrum

NEEDS = ("features",)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the sample.

    Args:
        images: training images that are looked at, drawn at random; all where these are fewer
    """

    images: int = 25_600

    def __post_init__(self):
        if self.images < 2:
            raise UserError(f"--spectrum_images must be at least 2, got {self.images}")


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """RankMe, effective rank, stable rank, α-ReQ and uniformity of the training features.

    Raises:
        UserError: features are missing or not finite.
    """
    train, test = subject.features
    check(train, test)
    chosen = np.random.default_rng(subject.seed).permutation(len(train.x))[: options.images]
    x = train.x[np.sort(chosen)]
    if len(x) < 2:
        raise UserError("directions are counted of two images at least, and there is one")
    known = {"images": len(x), "dimension": x.shape[1], "enough_images": len(x) >= 4 * x.shape[1]}
    found = {
        "rankme": spectrum.rankme(x),
        "effective_rank": spectrum.effective_rank(x),
        "stable_rank": spectrum.stable_rank(x),
        "alpha": spectrum.alpha_req(x),
        "uniformity": spectrum.uniformity(x[:2000]),
    }
    return [Row(name, value, known, share=False) for name, value in found.items() if value is not None]
