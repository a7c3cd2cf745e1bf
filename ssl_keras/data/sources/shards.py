"""A folder of shards, which tools.make_shards has written, as a source."""

import os

from ssl_keras.data.shards import FORMAT, Shards, read_manifest
from ssl_keras.data.source import Packed, Source, Wanted
from ssl_keras.data.values import Values
from ssl_keras.errors import UserError

FORMS = ("shards:PATH",)


def open_source(path: str, wanted: Wanted) -> Source:
    """The canvases of the images that were packed, in their order and under their names; those that could not be read
    are among them, and cannot be read here either.

    Raises:
        UserError: the folder holds no shards, or not all of them, or damaged ones; or no test images.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise UserError(f"{path} holds no shards: make some by tools.make_shards --data=.. --output={path}")
    if manifest["format"] != FORMAT:
        raise UserError(f"the shards in {path} are of another version of this program: make them again")
    if not manifest["complete"]:
        raise UserError(f"not all shards in {path} are made: run the tools.make_shards command again, which goes on")
    if wanted.split not in manifest["splits"]:
        raise UserError(f"shards:{path} has no {wanted.split} images")
    shards, about = Shards(path, manifest, wanted.split), manifest["splits"][wanted.split]
    index, values, canvas = shards.index, manifest["values"], manifest["canvas"]
    if values is not None:
        values = Values(**{name: _frozen(value) for name, value in values.items()})
    made_of = f"shards of {manifest['data']} ({about['name']})"
    return Source(
        name=f"{os.path.basename(os.path.abspath(path))} {wanted.split}",
        length=len(shards.names),
        read=shards.read,
        describe=lambda i: shards.names[i],
        label=(lambda i: int(index.label[i])) if about["labeled"] else None,
        class_names=manifest["class_names"] and tuple(manifest["class_names"]),
        has_test_split="test" in manifest["splits"],
        arrays=(canvas["channels"], canvas["dtype"]),
        sorted_by_name=manifest["sorted_by_name"],
        remarks=(made_of, *about["remarks"]),
        group=(lambda i: shards.groups[i] or None) if any(shards.groups) else None,
        root=about["root"],
        packed=Packed(index.size, values, manifest["settings"], manifest["asked"]),
    )


def _frozen(value):
    """What was a tuple before it became JSON, as one."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
