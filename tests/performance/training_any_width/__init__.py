"""The performance suite of any-width training: proven optima against the clock and against other models."""
