"""The evaluations, one file each, one contract: `evaluate(train, test, **options) -> dict` on frozen features.

`train` and `test` are `features.Features`. What an evaluation chooses (a penalty, say) it chooses on a part of `train`;
`test` is read once, for the score.
"""

EVALUATIONS = ("knn", "linear")
