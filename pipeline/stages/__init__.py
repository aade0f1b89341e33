"""One short file per DVC stage: read inputs, call the layers below, write outputs."""
