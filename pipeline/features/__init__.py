"""Features of clips, one module for each kind (:mod:`pipeline.features.protocol`), and the packed store they are read from."""
