"""Pages and figures: what a person reads of the data, the models and their scores."""
