"""Semi-supervised: the whole network is fine-tuned on few of the labels (Henaff et al., 2020, arXiv:1905.09272; SimCLR,
appendix B.5), which is what pretraining without labels is for."""

import dataclasses

from ssl_keras.errors import UserError
from ssl_keras.evals import few, recipes, whole
from ssl_keras.evals.subject import Row, Subject

NEEDS = ("images", "labels")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the training.

    Args:
        shares: shares of the training labels, separated by commas; the same share of each class, one image at least
        per_class: numbers of labels of each class, separated by commas, beside the shares
        draws: how often the labels of each are drawn; the scores are means
        recipe: small | simclr | byol | mae
        epochs: passes through the labeled images; 0: the recipe's
        batch_size: images in a batch, at most as many as there are; 0: the recipe's
        learning_rate: for 256 images, scaled linearly to the batch; 0: the recipe's, chosen on held-out ones of the
            labeled images where it has several
        layer_decay: factor on the learning rate from each block to the one before it; 1: none; 0: the recipe's
    """

    shares: tuple[float, ...] = (0.01, 0.1)
    per_class: tuple[int, ...] = ()
    draws: int = 3
    recipe: str = "small"
    epochs: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0
    layer_decay: float = 0.0

    def __post_init__(self):
        if not all(0 < share <= 1 for share in self.shares):
            raise UserError(
                "--semi_supervised_shares must be greater than 0 and at most 1, such as 0.01,0.1, got "
                f"{','.join(map(str, self.shares))}"
            )
        if not all(count >= 1 for count in self.per_class) or self.draws < 1:
            raise UserError(
                "--semi_supervised_per_class and --semi_supervised_draws must be at least 1, got "
                f"{','.join(map(str, self.per_class)) or 'none'} and {self.draws}"
            )
        if not self.shares and not self.per_class:
            raise UserError("--semi_supervised_shares and --semi_supervised_per_class name nothing")
        recipes.check("semi_supervised", self)


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy after the last epoch for each share of the labels, and for each number of labels of each class.

    A larger share holds the smaller one's images of the same draw. Two that are the same number of images are one.

    Raises:
        UserError: see `whole.given`; or training diverged.
    """
    encoder, train, test = whole.given(subject, options.layer_decay)
    crop, seed, labels = subject.encoding.crop, subject.seed, train.labels
    wanted = []
    for share in sorted(options.shares):
        drawn = [few.share(labels, share, draw, seed) for draw in range(options.draws)]
        wanted.append(({"share": share}, recipes.settled(options, share), drawn))
    for count in sorted(options.per_class):
        drawn = few.draws(labels, count, options.draws, seed)
        share = len(drawn[0]) / len(labels)
        wanted.append(({"per_class": count}, recipes.settled(options, share), drawn))
    rows: dict[int, Row] = {}
    for named, recipe, drawn in wanted:
        count = len(drawn[0])
        if count in rows:
            continue
        drawn = drawn[:1] if count == len(labels) else drawn  # all labels can be drawn in one way alone
        trained = [whole.chosen(encoder, train.subset(chosen), recipe, seed, crop) for chosen in drawn]
        known = named | {"labels": count, "draws": len(drawn), "recipe": options.recipe} | _conditions(trained)
        known |= {"train_examples": len(labels), "test_examples": len(test)}
        rows[count] = few.mean("top1", [each.accuracy(test, crop) for each in trained], known)
    return list(rows.values())


def _conditions(trained: list[whole.Trained]) -> dict:
    """What a row says of the trainings of several draws: what differs as a list."""
    found = [each.conditions() for each in trained]
    return {
        name: value if all(other[name] == value for other in found) else [other[name] for other in found]
        for name, value in found[0].items()
    }
