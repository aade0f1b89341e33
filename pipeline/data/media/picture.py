"""Pictures: decoded whole, and known again by how their brightness changes from place to place."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from pipeline.config.data import PictureAudit
from pipeline.data.media import Array, Finding, Fingerprints, Pair
from pipeline.data.picture import PictureError, decode

SAME = "Pictures that look the same"

THUMBNAIL = 16
"""Pixels of either side of what is compared."""
THRESHOLD = 0.97
"""Two pictures are the same if their fingerprints correlate more than this. Measured: of 3000 photographs of animals
two are one photograph and have 0.994, no other two have 0.9. The 7172 pictures of Sign Language MNIST, of which about 21
each were made from one photograph, fall into 344 groups here, and into 336 at 0.9."""
CHUNK = 1024
"""Pictures that are compared with all others at a time."""


def inspect(file: Path, digest: str, limits: PictureAudit) -> Finding:
    """Decode one file whole and name the first thing that is wrong with it."""
    try:
        picture = decode(file, limits.max_pixels)
    except PictureError as error:
        return Finding(0.0, 0, digest, str(error))
    if min(picture.size) < limits.min_side:
        size = f"{picture.width} x {picture.height}"
        return Finding(0.0, 0, digest, f"too small: {size} pixels, each side needs {limits.min_side}")
    if np.ptp(np.asarray(picture), axis=(0, 1)).max() == 0:
        return Finding(0.0, 0, digest, "empty: all pixels have one colour")
    return Finding(0.0, 0, digest, "", fingerprint(picture))


def fingerprint(picture: Image.Image) -> Array:
    """The steps between neighbouring pixels of a grey thumbnail, as a vector of length 1."""
    small = picture.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32)
    steps = np.concatenate([np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()])
    length = np.linalg.norm(steps)
    return steps / length if length else steps


def near(fingerprints: Fingerprints) -> list[Pair]:
    """Pictures that look the same, sorted: not every pair of many copies, but enough to link them all."""
    names = sorted(fingerprints)
    if not names:
        return []
    vectors = np.stack([fingerprints[name] for name in names])
    rows, columns, alike = [], [], []
    for start in range(0, len(names), CHUNK):
        correlation = vectors[start : start + CHUNK] @ vectors.T
        row, column = np.nonzero(np.triu(correlation, k=start + 1) > THRESHOLD)
        rows.append(row + start)
        columns.append(column)
        alike.append(correlation[row, column])
    # a distance of 0 would be no link
    distance = 2 - np.minimum(np.concatenate(alike), 1)
    links = coo_array((distance, (np.concatenate(rows), np.concatenate(columns))), shape=(len(names),) * 2)
    tree = minimum_spanning_tree(links.tocsr()).tocoo()
    found = zip(tree.row.tolist(), tree.col.tolist(), tree.data.tolist(), strict=True)
    return sorted((names[a], names[b], far - 1, 0.0) for a, b, far in found)
