"""The kind of feature of pictures."""
