"""The data sources of pictures, each a module as in :mod:`pipeline.sources`."""
