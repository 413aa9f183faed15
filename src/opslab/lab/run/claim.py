"""Claim a planned run, or only initialize it."""

from opslab.runs.claim import claim, initialize

__all__ = ["claim", "initialize"]
