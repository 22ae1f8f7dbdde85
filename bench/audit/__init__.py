"""Before a run: what a constraint cannot express, and which right answers it would forbid."""
