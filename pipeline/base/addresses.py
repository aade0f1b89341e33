"""Where `make ui` serves MLflow's pages, to this machine only; and whether a port can be used."""

import socket

from pipeline.base.errors import UserError

HOST = "127.0.0.1"
UI_PORT = 5000


def check_free(port: int, command: str) -> None:
    """
    Args:
        command: that was to serve there, for the message: ``ui``.

    Raises:
        UserError: a program has this port, or it cannot be had.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            other = port + 1 if 1024 < port < 65535 else 8001
            raise UserError(
                f"port {port} cannot be used ({error.strerror}): end the program that has it, perhaps another `make "
                f"{command}`, or give another: soundtrack {command} --port {other}, make {command} PORT={other}"
            ) from None
