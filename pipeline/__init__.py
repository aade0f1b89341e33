"""soundtrack: from a versioned data set of music to trained, evaluated, compared classifiers."""
