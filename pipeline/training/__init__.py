"""Windows of clips in, a trained module and its history out."""
