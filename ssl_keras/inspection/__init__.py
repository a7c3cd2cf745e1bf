"""What is in a data set, before anything is trained on it.

`write` is the way from top to bottom; `looks` reads the images, `values`, `facts`, `duplicates` and `groups` say what
was seen, `suggest` makes a flagfile of it, `sheet`, `page` and `words` show it.
"""
