"""A year in minutes: the real pipeline on an event loop whose clock jumps instead of waiting.

Everything outside is simulated and follows from a seed: the loop's order, the meters, the platforms, the
faults. `year.run` lives a stretch of time; `oracle.judge` says what is wrong with what came of it.
"""
