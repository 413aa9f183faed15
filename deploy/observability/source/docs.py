"""Addresses of the documentation in alerts and dashboards."""

DOCS_URL = "http://127.0.0.1:8000"
"""Of `mkdocs serve`: the project publishes its pages at no other address. `TC_DOCS_URL` replaces it in a stack."""


def runbook_url(page: str) -> str:
    """page: its file in `docs/runbooks/`, without `.md`."""
    return f"{DOCS_URL}/runbooks/{page}/"
