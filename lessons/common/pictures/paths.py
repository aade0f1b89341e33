"""Where pictures are, relative to a lesson's folder."""

from pathlib import Path

IMAGES = Path("data/images")
"""What the source downloaded or made."""
PICTURES = Path("data/pictures")
"""A person's own pictures, copied or linked there."""
SIGN_MNIST = Path("data/sign-mnist")
"""A person's CSV files of Sign Language MNIST, copied or linked there."""
