"""The evaluations, one file each, one contract: `evaluate(train, test, **options) -> dict` on frozen features.

`train` and `test` are `features.Features`. What an evaluation chooses (a penalty, say) it chooses on a part of `train`;
`test` is read once, for the score. A ValueError says in a sentence why the features cannot be scored. An image of a
class that `train` lacks counts as wrong.
"""

EVALUATIONS = ("knn", "linear")
