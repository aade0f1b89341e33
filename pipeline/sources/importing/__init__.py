"""``soundtrack import``: a folder of music becomes ``data/music``, versioned with DVC.

``files`` finds the music, ``labels`` reads labels and artists (from folders, ``tags``, a table or a known data set's own
metadata), ``mapping`` renames and drops labels, ``checks`` names what looks wrong, ``plan`` says it all, ``act`` does it.
"""
