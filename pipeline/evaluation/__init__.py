"""What trained models are worth: scores, figures and the report that compares them."""
