"""Numbers about predictions: scores, confidence intervals, calibration, ablation and attribution."""
