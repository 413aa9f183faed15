"""Failure drills: break a running paper run on purpose, measure what happens, judge it."""
