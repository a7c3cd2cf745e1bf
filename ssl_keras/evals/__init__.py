"""The evaluations, one file each, found by name: `--eval=NAME` runs NAME.py.

A file has

- `NEEDS`, what it must be given, of "features", "images" and "labels";
- `Options`, a dataclass whose fields are the flags --NAME_FIELD, and which refuses what no evaluation can do;
- `evaluate(subject, options) -> list of subject.Row`.

What an evaluation chooses (a penalty, say) it chooses on a part of the training images; test images are looked at once,
for the score. A UserError says in a sentence why the subject cannot be scored. An image of a class that the training
images lack counts as wrong.
"""

from ssl_keras.registry import Registry

BESIDE = ("cache", "data", "features", "few", "online", "recipes", "run", "seeds", "subject", "table", "whole")
REGISTRY = Registry(__name__, "evaluation", BESIDE)
