"""Damaged files for the command line: a verdict or one sentence, never a traceback, a hang or a wrong exit code."""
