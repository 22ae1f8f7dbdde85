"""Suites: cases, their files, and the simulated tools behind them."""
