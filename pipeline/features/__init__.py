"""What is computed from a clip, and the packed store that it is kept in.

A feature module has two functions::

    compute(clip, settings) -> array (rows, width)
    describe(settings) -> what the store's spec says of it

The clip is what ``read`` of :mod:`pipeline.features.sound` or :mod:`pipeline.features.picture` gives. ``rows`` is 1 for a
summary of the clip, else its number of frames; then ``windowed`` is true in the spec and ``floor`` is the value that
stands for no sound. An image is one row; ``image`` in the spec is its shape.
"""
