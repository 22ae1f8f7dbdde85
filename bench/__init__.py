"""Suites, scores, statistics, files and terminals; asks `engine` for generations."""
