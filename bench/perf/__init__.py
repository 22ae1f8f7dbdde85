"""How fast decoding is on this machine, as ratios on a pinned workload: our loop, the binding's, each constraint."""
