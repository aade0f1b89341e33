"""Which files are no audio by their names."""

# fmt: off
NOT_AUDIO = frozenset([
    ".accurip", ".asx", ".avif", ".beats", ".bmp", ".bpm", ".csv", ".cue", ".db", ".doc", ".docx", ".ffp", ".gif",
    ".gz", ".htm", ".html", ".ico", ".ini", ".ipynb", ".jams", ".jpeg", ".jpg", ".json", ".lab", ".lnk", ".log",
    ".lrc", ".m3u", ".m3u8", ".md", ".md5", ".mid", ".midi", ".nfo", ".npy", ".npz", ".parquet", ".pdf", ".plist",
    ".pls", ".png", ".py", ".rtf", ".sfv", ".sha256", ".srt", ".svg", ".tar", ".tif", ".tiff", ".torrent", ".tsv",
    ".txt", ".url", ".webp", ".xls", ".xlsx", ".xml", ".xspf", ".yaml", ".yml", ".zip",
])
# fmt: on
"""Suffixes of files that are skipped. Any other file is tried."""
