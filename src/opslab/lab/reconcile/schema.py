"""The JSON Schema of an account snapshot."""

from opslab.reconciliation.schema import snapshot_schema

__all__ = ["snapshot_schema"]
