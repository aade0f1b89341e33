"""What is computed from a clip, and the packed store that it is kept in.

A feature module has two functions::

    compute(sound, settings) -> array (rows, width)
    describe(settings) -> what the store's spec says of it

``rows`` is 1 for a summary of the clip, else its number of frames; then ``windowed`` is true in the spec and
``floor`` is the value that stands for no sound.
"""
