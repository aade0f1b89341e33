"""Classify a person's own music: batches of songs, playlists and genre tags."""
