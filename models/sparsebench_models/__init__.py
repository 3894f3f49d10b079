"""First-party model specifications, and their builders for each framework."""
