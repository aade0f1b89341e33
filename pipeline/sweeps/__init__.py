"""``soundtrack sweep``: better values for an experiment's params, searched on validation only."""
