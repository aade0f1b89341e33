"""The stages in which pictures differ from audio; all others are the pipeline's own."""
