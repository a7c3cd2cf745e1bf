"""What a person should look at: images, chosen by the features and by the linear probe."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans

from ssl_keras.evals import linear
from ssl_keras.evals.features import Features
from ssl_keras.evals.few import part
from ssl_keras.evals.subject import Subject
from ssl_keras.report.gallery import TEST, TRAIN, Gallery
from ssl_keras.scores import selection
from ssl_keras.scores.neighbors import nearest, unit

SHOWN = 12  # images of a group
QUERIES, NEIGHBORS = 8, 6
CLUSTERS, MOST_CLUSTERS = 10, 12
COMPARED = 20_000  # images at most that are all compared with each other


class Tile(NamedTuple):
    """An image with a word below it; `mark` is good, bad or ""."""

    number: int
    text: str = ""
    mark: str = ""


class Group(NamedTuple):
    """Images that belong together, under a heading."""

    title: str
    tiles: list[Tile]


class Section(NamedTuple):
    """A part of the report: `text` are sentences before the images."""

    name: str
    title: str
    text: list[str]
    groups: list[Group]


class Finder:
    """Finds what the sections show.

    Args:
        subject: the run's encoder on the images.
        gallery: takes the images that are shown.
        labeled: whether the images have labels.
    """

    def __init__(self, subject: Subject, gallery: Gallery, labeled: bool):
        self.subject, self.gallery, self.labeled = subject, gallery, labeled
        self.train, self.test = subject.features

    def sections(self) -> list[Section]:
        """All sections that can be made of the images, in the order of the report."""
        with_labels: list[Callable[[], Section]] = [self.mistakes, self.doubtful_labels] if self.labeled else []
        makers = [self.neighbors, self.clusters, *with_labels, self.near_duplicates, self.outliers, self.label_next]
        return [make() for make in makers]

    def tile(self, which: int, place: int, text: str | None = None, mark: str = "") -> Tile:
        """An image by its place among the features of TRAIN or TEST; its text is its class unless another is given."""
        features = (self.train, self.test)[which]
        row = int(features.rows[place])
        return Tile(self.gallery.add(which, row), self.gallery.label(which, row) if text is None else text, mark)

    def neighbors(self) -> Section:
        """The training images that are nearest to some test images."""
        queries = _spread(self.test, QUERIES)
        _, rows = nearest(self.test.x[queries], self.train.x, min(NEIGHBORS, len(self.train.x)))
        groups = []
        for query, found in zip(queries, rows):
            label = self.test.labels[query]
            tiles = []
            for place in found:
                same = self.train.labels[place] == label
                tiles.append(self.tile(TRAIN, place, mark=("good" if same else "bad") if self.labeled else ""))
            groups.append(Group("", [self.tile(TEST, query), *tiles]))
        text = ["The first image of each row is a test image; beside it are the training images most like it."]
        if self.labeled:
            text.append("A green line means the same class, a red one another class.")
        return Section("neighbors", "Nearest neighbors", text, groups)

    def clusters(self) -> Section:
        """k-means clusters of the test images, with the images nearest to each center."""
        x = unit(self.test.x)
        classes = len(np.unique(self.test.labels)) if self.labeled else CLUSTERS
        number = max(1, min(classes, MOST_CLUSTERS, len(x) // 2))
        found = KMeans(number, n_init=3, random_state=self.subject.seed).fit(x)
        groups = []
        for cluster in np.argsort(-np.bincount(found.labels_, minlength=number), kind="stable"):
            members = np.flatnonzero(found.labels_ == cluster)
            if not len(members):
                continue
            apart = ((x[members] - found.cluster_centers_[cluster]) ** 2).sum(axis=1)
            title = f"{len(members):,} images"
            if self.labeled:
                labels, counts = np.unique(self.test.labels[members], return_counts=True)
                row = int(self.test.rows[members[self.test.labels[members] == labels[counts.argmax()]][0]])
                title += f", {100 * counts.max() / len(members):.0f} % {self.gallery.label(TEST, row)}"
            groups.append(Group(title, [self.tile(TEST, place) for place in members[np.argsort(apart)][:SHOWN]]))
        text = ["Groups that k-means finds in the features of the test images: for each the most typical images."]
        return Section("clusters", "Clusters", text, groups)

    def mistakes(self) -> Section:
        """Test images of which the linear probe is surest, and wrong."""
        probe = linear.probe(self.subject)
        shares = linear.shares(probe, self.test)
        said = probe.classes[shares.argmax(axis=1)]
        wrong = np.flatnonzero(said != self.test.labels)
        wrong = wrong[np.argsort(-shares[wrong].max(axis=1), kind="stable")]
        tiles = []
        for place in wrong[:SHOWN]:
            true, other = self.gallery.label(TEST, int(self.test.rows[place])), self.gallery.class_name(said[place])
            tiles.append(self.tile(TEST, place, f"{true}, not {other} ({100 * shares[place].max():.0f} %)"))
        text = [
            f"The linear classifier is wrong about {len(wrong):,} of {len(self.test.x):,} test images. About these it "
            "is surest: the true class, and what it says."
        ]
        return Section("mistakes", "Most confident mistakes", text, [Group("", tiles)])

    def doubtful_labels(self) -> Section:
        """Training images whose label a classifier that has not seen them doubts most."""
        shares, classes = linear.out_of_fold(self.train, linear.probe(self.subject).c, self.subject.seed)
        margins = selection.margins(shares, np.searchsorted(classes, self.train.labels))
        order = np.argsort(margins, kind="stable")
        doubted = order[margins[order] < 0]
        tiles = []
        for place in doubted[:SHOWN]:
            says = self.gallery.class_name(classes[shares[place].argmax()])
            own = self.gallery.label(TRAIN, int(self.train.rows[place]))
            tiles.append(self.tile(TRAIN, place, f"{own}? or {says} ({100 * shares[place].max():.0f} %)"))
        text = [
            f"A linear classifier that has not seen the image would give another label to {len(doubted):,} of "
            f"{len(margins):,} training images. These it doubts most: the label, and what it says. Most may be "
            "mistakes of the classifier; look at them."
        ]
        return Section("labels", "Labels to check", text, [Group("", tiles)])

    def near_duplicates(self) -> Section:
        """Groups of images that nearly agree, also over the border of training and test, and what these do to the
        score."""
        (cosines, rows), which, places, note = self._together
        first = selection.near_duplicates(cosines, rows)
        members = [np.flatnonzero(first == group) for group in np.unique(first[_repeated(first)])]
        members.sort(key=len, reverse=True)
        groups = [
            Group(f"{len(group)} images", [self._either(which, places, i) for i in group[:NEIGHBORS]])
            for group in members[: QUERIES + SHOWN]
        ]
        count = sum(map(len, members))
        text = [f"{count:,} of {len(rows):,} images{note} have a near-duplicate, by their features."]
        in_training = {int(i) for group in members if (which[group] == TRAIN).any() for i in group if which[i] == TEST}
        leaked = np.array(sorted(int(places[i]) for i in in_training), np.int64)
        text.append(f"{len(leaked):,} of them are test images with a near-duplicate among the training images.")
        if self.labeled and 0 < len(leaked) < len(self.test.x):
            probe = linear.probe(self.subject)
            kept = np.setdiff1d(np.arange(len(self.test.x)), leaked)
            text.append(
                f"The linear classifier is right for {100 * probe.accuracy(self.test):.1f} % of all test images, and "
                f"for {100 * probe.accuracy(part(self.test, kept)):.1f} % without these."
            )
        return Section("duplicates", "Near-duplicates", text, groups)

    def outliers(self) -> Section:
        """Images that are farthest from all others."""
        (cosines, _), which, places, note = self._together
        odd = np.argsort(-selection.outlier_distances(cosines), kind="stable")[:SHOWN]
        among = f"of {len(which):,} images{note}"
        text = [f"These are farthest from their nearest neighbors, {among}. Do they belong here?"]
        return Section("outliers", "Outliers", text, [Group("", [self._either(which, places, i) for i in odd])])

    def label_next(self) -> Section:
        """Training images to label first."""
        rows = evenly(len(self.train.x), COMPARED)
        x, seed = self.train.x[rows], self.subject.seed
        chosen = {
            "Typical ones, one of each large group (TypiClust): for the first few labels": selection.typical(
                x, SHOWN, seed
            ),
            "Different ones that cover the data (k-center): when you have some labels": selection.k_center(x, SHOWN),
        }
        groups = [Group(title, [self.tile(TRAIN, rows[i]) for i in found]) for title, found in chosen.items()]
        known = " The labels that they have were not used." if self.labeled else ""
        text = [f"If you can label a few training images only, label these.{known}"]
        return Section("next", "Label these next", text, groups)

    @cached_property
    def _together(self) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray, str]:
        """Of training and test images: their nearest others (`selection.neighbors_of`), which of both they are [N],
        their places there [N], and a note."""
        places = [evenly(len(features.x), COMPARED // 2) for features in (self.train, self.test)]
        x = np.concatenate([self.train.x[places[TRAIN]], self.test.x[places[TEST]]])
        which = np.repeat([TRAIN, TEST], [len(places[TRAIN]), len(places[TEST])])
        whole = len(x) == len(self.train.x) + len(self.test.x)
        note = "" if whole else f" (a part of {len(self.train.x) + len(self.test.x):,}, evenly spread)"
        return selection.neighbors_of(x), which, np.concatenate(places), note

    def _either(self, which: np.ndarray, places: np.ndarray, i: int) -> Tile:
        tile = self.tile(int(which[i]), int(places[i]))
        return tile._replace(text=", ".join(filter(None, (tile.text, ("training", "test")[which[i]]))))


def _repeated(values: np.ndarray) -> np.ndarray:
    """Of values [N] that are numbers below N, which occur more than once: bool [N]."""
    return np.bincount(values, minlength=len(values))[values] > 1


def evenly(count: int, most: int) -> np.ndarray:
    """At most so many of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)) if count else np.arange(0)


def _spread(features: Features, number: int) -> np.ndarray:
    """Images of as many classes as there are, one of each in turn; evenly spread where there are no labels."""
    if (features.labels < 0).any():
        return evenly(len(features.x), number)
    each = [np.flatnonzero(features.labels == label) for label in np.unique(features.labels)]
    turns = [members[turn] for turn in range(number) for members in each if turn < len(members)]
    return np.array(turns[:number])
