"""The tutorial's models by its own protocol, beside this project's."""
