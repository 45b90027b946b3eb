"""``python -m verinet``: the command line."""

from verinet.cli import main

main()
