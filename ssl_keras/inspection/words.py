"""What was found, in short sentences: a summary, and what to look at before training."""

from ssl_keras.words import counted, listing, shown

SATURATED, MANY = 0.01, 3  # share at the maximum that is worth a sentence; what is listed
STEPS = 100  # of fewer different numbers many are at the maximum anyway


def summary(found: dict) -> list[str]:
    """Lines for the console: what there is."""
    values, sizes = found["values"], found["sizes"]
    lines = [
        f"images: {found['training_images']:,} for training" + f", {found['test_images']:,} for tests"
        * bool(found["test_images"]),
        f"formats: {listing(found['formats'])}; {listing(found['dtypes'])}; channels: {_channels(found['channels'])}",
        f"sizes (height x width): {_sizes(sizes)}",
        *value_lines(values),
    ]  # fmt: skip
    if found["classes"]:
        counts = {name: f"{parts['train'] + parts['test']:,}" for name, parts in found["classes"].items()}
        lines.append(f"classes: {len(counts)}: {listing(counts, 8)}")
    for group in found["groups"]:
        lines.append(
            f"groups: {group['groups']:,} of {group['images']:,} images, {group['by']}; the largest has "
            f"{group['largest']:,}"
        )
    exact, near = found["duplicates"]["exact"], found["duplicates"]["near"]
    lines.append(
        f"duplicates: {counted(exact['images'], 'image')} in {counted(exact['groups'], 'group')} of the same pixels, "
        f"{near['images']} in {counted(near['groups'], 'group')} that look alike"
    )
    return lines


def value_lines(values: dict) -> list[str]:
    """A line for each of the first channels."""
    lines, channels = [], values["channels"]
    for number, channel in enumerate(channels[:MANY], 1):
        which = f"values of channel {number}" if len(channels) > 1 else "values"
        if channel["minimum"] is None:
            lines.append(f"{which}: nothing was measured")
            continue
        used = f"; {channel['used']:.1%} of {values['dtype']} used" if channel["used"] is not None else ""
        lines.append(
            f"{which}: {channel['minimum']:g} to {channel['maximum']:g}, 1 % {channel['p1']:g}, 50 % "
            f"{channel['p50']:g}, 99 % {channel['p99']:g}{used}; 0: {channel['zeros']:.1%}, not measured: "
            f"{channel['not_measured']:.1%}, at the maximum: {channel['at_maximum']:.2%}"
        )
    if len(channels) > MANY:
        lines.append(f"  .. {len(channels)} channels in all; inspection.html has them")
    return lines


def remarks(found: dict) -> list[str]:
    """What to look at before training, a verb first."""
    said, bad, twice = [], found["unreadable"], found["duplicates"]
    for row in bad["reasons"][:MANY]:
        said.append(f"Mend or remove {counted(row['images'], 'file')}: {row['reason']}: {_some(row['first'])}")
    if len(bad["reasons"]) > MANY:
        rest = sum(row["images"] for row in bad["reasons"][MANY:])
        said.append(f"See {counted(rest, 'more file')} that cannot be read in inspection.html")
    if found["constant"]["images"]:
        count = counted(found["constant"]["images"], "constant image")
        said.append(f"Remove {count}: {_some(found['constant']['first'])}")
    leaked = twice["leakage"]
    if leaked["exact"]["test_images"] or leaked["near"]["test_images"]:
        first = (leaked["exact"]["first"] + leaked["near"]["first"])[0]
        said.append(
            f"Split anew: {counted(leaked['exact']['test_images'], 'test image')} with the pixels of a training "
            f"image, {leaked['near']['test_images']} that look like one: {_some(first)}"
        )
    exact, near = twice["exact"], twice["near"]
    if exact["groups_of_several_classes"]:
        said.append(
            f"Check the labels of {counted(exact['groups_of_several_classes'], 'group')} with the same pixels in "
            f"several classes: {_some(exact['first_of_several_classes'][0])}"
        )
    if exact["needless"]:
        said.append(f"Remove {counted(exact['needless'], 'needless copy').replace('copys', 'copies')}: "
                    f"{_some(exact['first'][0])}")  # fmt: skip
    if near["groups"]:
        said.append(
            f"Look at {counted(near['groups'], 'group')} of images that look alike (docs/inspect.md): "
            f"{_some(near['first'][0])}"
        )
    mixed = [
        f"{what} ({', '.join(f'{name}: {count}' for name, count in counts.items())})"
        for what, counts in (("the type of their numbers", found["dtypes"]), ("channels", found["channels"]))
        if len(counts) > 1
    ]
    if mixed:
        said.append(f"Sort the images: they differ in {' and in '.join(mixed)}")
    said += _of_channels(found["values"]["channels"])
    for group in found["groups"]:
        said.append(f"Keep groups on one side of a split ({group['by']}): --group_by='{group['group_by']}'")
    return [shown(text) for text in said]


def _of_channels(channels: list[dict]) -> list[str]:
    lost = [n for n, channel in enumerate(channels, 1) if channel["minimum"] == channel["maximum"]]
    said = [f"Leave out {_numbered(lost)}: constant, or nothing was measured"] if lost else []
    full = {
        n: channel["at_maximum"]
        for n, channel in enumerate(channels, 1)
        if n not in lost and channel["at_maximum"] > SATURATED and channel["maximum"] - channel["minimum"] > STEPS
    }
    if full:
        said.append(f"Check the exposure: {max(full.values()):.1%} of {_numbered(list(full))} are at the maximum")
    return said


def _numbered(channels: list[int]) -> str:
    return f"channel{'s' * (len(channels) > 1)} {', '.join(map(str, channels))}"


def looked(found: dict) -> str:
    """How many images were looked at, and in what time."""
    total = found["training_images"] + found["test_images"]
    of = f"all {total:,}" if found["looked_at"] == total else f"{found['looked_at']:,} of {total:,}, drawn at random,"
    return (
        f"looked at {of} images in {found['seconds']:.0f} s; percentiles are of numbers from "
        f"{found['values']['images_of_percentiles']:,} training images"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:2]) + ", .." * (len(names) > 2)


def _channels(counts: dict[str, int]) -> str:
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{name} ({count})" for name, count in counts.items())


def _sizes(sizes: dict) -> str:
    if sizes["different"] == 1:
        return f"{next(iter(sizes['most_frequent']))}, all"
    if not sizes["different"]:
        return "not known"
    height, width = sizes["height"], sizes["width"]
    most = next(iter(sizes["most_frequent"].items()))
    return (
        f"{height['minimum']} to {height['maximum']} x {width['minimum']} to {width['maximum']}, "
        f"{sizes['different']:,} different, most often {most[0]} ({most[1]:,})"
    )
