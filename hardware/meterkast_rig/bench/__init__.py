"""`make bench`: what the gateway costs, measured on the machine it runs on, beside what others cost.

One file per figure; each has `TITLE` and `async measure(quick) -> Figure`. What runs under a tool or as a
process of its own is in the files that end in `_run`.
"""
