"""The verifier's performance suite: every instance a process of its own, through the command line; see README.md."""
