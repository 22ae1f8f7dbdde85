"""One run: settings, plan, worker processes, episodes played, the latency pass, what is written and judged."""
