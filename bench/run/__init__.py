"""One run: settings, plan, worker processes, episodes played, the latency pass."""
