"""Training by programmes and enumeration, beside the plain big-M model in the same solver."""
