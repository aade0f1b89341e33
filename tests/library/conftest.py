"""The fixtures of :mod:`bundles`."""

from bundles import _bundle as _bundle
from bundles import bundle as bundle
from bundles import known as known
from bundles import model as model
from bundles import song as song
