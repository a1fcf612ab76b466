"""What a user can do something about."""


class UserError(Exception):
    """Its message is one line for whoever ran the command: what happened, to what, and what to do."""
