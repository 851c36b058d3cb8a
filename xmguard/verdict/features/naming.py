"""Names of the branches that features run: no two are alike, whatever callers call their spans."""

from __future__ import annotations


def branch_name(feature: str, *spans: str) -> str:
    """Another one for every feature and every sequence of span ids; quoted, so that no id can look like two."""
    return repr((feature, *spans))
