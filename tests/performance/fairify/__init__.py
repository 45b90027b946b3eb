"""Ranges and thresholds of the Fairify networks over their integer domains; see the README beside this file."""
