"""``soundtrack sweep``: better values for an experiment's params, searched for on validation alone."""
