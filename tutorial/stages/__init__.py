"""The stages of the tutorial."""
