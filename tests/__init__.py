"""Tests, one folder a room; `tests.strategies` holds the generators and the oracle they share."""
