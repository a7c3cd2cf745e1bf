"""The report of a run: one HTML file that says what was done, whether it was worth it, and what the encoder sees.

`write.py` makes it from top to bottom: scores, verdict, facts, figures, galleries of images, page.
"""
