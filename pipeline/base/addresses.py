"""Where `make ui` serves MLflow's pages, to this machine only."""

HOST = "127.0.0.1"
UI_PORT = 5000
