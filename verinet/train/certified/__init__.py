"""Training under properties of property files: solve, verify, demand more at each counterexample, and so on.

Every programme is a relaxation of the training under the properties, so its bound holds for all networks that have
them; its network counts only once the verifier passed it, for the parameters that are exported.
"""

from verinet.train.certified.training import CertifiedSpecification, train_certified

__all__ = ["CertifiedSpecification", "train_certified"]
