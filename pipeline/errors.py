"""Errors that are the user's to mend: the message says all there is to say, and no traceback is shown."""


class UserError(Exception):
    """Names the file or key that is wrong and says what to do."""
