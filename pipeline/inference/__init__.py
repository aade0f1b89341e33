"""A trained model at work: audio of any length in, label probabilities out, and what the model knows nothing of."""
