"""What a split that ignores groups has parted, as far as it is free to know."""

from collections import Counter

from ssl_keras.data.groups import copies
from ssl_keras.data.groups.found import by_themselves, names_of, patients_of
from ssl_keras.data.groups.names import NUMBERED, by_pattern
from ssl_keras.data.source import Source
from ssl_keras.words import counted, shown

SLICES = (
    "on four MRI sets, slices of a patient on both sides made accuracy 29 to 55 points too high (Yagis et al., 2021, "
    "doi.org/10.1038/s41598-021-01681-w), on OCT 5 to 30 % (Tampu et al., 2022, doi.org/10.1038/s41597-022-01618-6)"
)


def warning(train: Source, test: Source) -> str | None:
    """One sentence or two where images of a group are both in training and in test; None where none are seen.

    Groups are those that show in headers and names, see `found.by_themselves`. Copies are known among what has been
    read of both so far.
    """
    seen = []
    names = names_of(train) + names_of(test)
    rule = by_themselves([train, test], names)
    if rule.kind != "none":
        keys = patients_of([train, test]) if rule.kind == "patient" else by_pattern(names, NUMBERED)
        sides = [set(part) - {None} for part in (keys[: len(train)], keys[len(train) :])]
        both = sides[0] & sides[1]
        images = sum(key in both for key in keys[len(train) :])
        if both:
            largest = Counter(key for key in keys if key in both).most_common(1)[0][0]
            what = "patients (else volumes, or images cut into tiles)"
            if rule.kind != "patient":
                what = f"sequences of numbered names, such as {shown(largest)}..,"
            seen.append(f"{len(both)} of {len(sides[0] | sides[1])} {what} with {images} of {len(test)} test images")
    copied = copies.shared(train, test)
    if copied:
        seen.append(f"{counted(len(copied), 'test image')} with a copy in training, such as {test.describe(copied[0])}")
    if not seen:
        return None
    return (
        f"WARNING: on both sides of the split, training and test, are {'; '.join(seen)}. Scores are then too good: "
        f"{SLICES}. Set --group_by=auto to keep them together, or --group_by=none if they are independent"
    )
