"""A thousand planted counterexamples; see the README beside this file."""
