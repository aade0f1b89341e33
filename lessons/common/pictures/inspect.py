"""Decodes a picture, names the first thing that is wrong with it, and finds pictures that look the same."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from lessons.common.pictures.config import Audit
from lessons.common.pictures.decode import PictureError, decode
from pipeline.data.audit import Array, Checks, Finding, Fingerprints, Pair

THUMBNAIL = 16
"""Pixels of either side of what is compared."""
THRESHOLD = 0.97
"""Two pictures are the same if their fingerprints correlate more than this. Measured: of 3000 photographs of animals
two are one photograph and have 0.994, no other two have 0.9. The 7172 pictures of Sign Language MNIST, of which about 21
each were made from one photograph, fall into 344 groups here, and into 336 at 0.9."""
CHUNK = 1024
"""How many pictures are compared with all others at a time."""


def inspect(file: Path, digest: str, limits: Audit) -> Finding:
    """
    Args:
        digest: the file's sha256.
    """
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
    """Pictures that look the same, sorted; of many copies not every pair, but enough to link them all.

    The third number is 1 less the correlation of the two fingerprints.
    """
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
    # a distance of 0 would not be a link
    distance = 2 - np.minimum(np.concatenate(alike), 1)
    links = coo_array((distance, (np.concatenate(rows), np.concatenate(columns))), shape=(len(names),) * 2)
    tree = minimum_spanning_tree(links.tocsr()).tocoo()
    found = zip(tree.row.tolist(), tree.col.tolist(), tree.data.tolist(), strict=True)
    return sorted((names[a], names[b], far - 1, 0.0) for a, b, far in found)


PICTURES = Checks(inspect, near, "Pictures that look the same")
