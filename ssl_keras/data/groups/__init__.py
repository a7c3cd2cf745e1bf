"""Which images belong together (those of a patient, a scene, copies of one), so that no split parts them.

`names` reads `--group_by`, `found` finds the groups, `copies` joins those that hold the same image, `parts` holds out
whole groups, and `both_sides` says which groups a split has parted.
"""
