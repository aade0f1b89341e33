"""How fast this is, side by side with what people do otherwise, in one run on one machine: ``make bench``."""
