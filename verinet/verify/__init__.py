"""From a property or a query to a verdict with evidence.

Conventions: engines *claim* that a region holds no counterexample, and every counterexample is confirmed by exact
evaluation before it leaves this room. A limit, an error or an odd status leaves a region open.
"""

from verinet.verify.finding import Finding, Outlook
from verinet.verify.options import Deadline, VerifyOptions
from verinet.verify.verdict import Answer, Level, Replay, ReplayedPoint, Verdict, Witness
from verinet.verify.verifier import verify_property, verify_query

__all__ = [
    "Answer",
    "Deadline",
    "Finding",
    "Level",
    "Outlook",
    "Replay",
    "ReplayedPoint",
    "Verdict",
    "VerifyOptions",
    "Witness",
    "verify_property",
    "verify_query",
]
