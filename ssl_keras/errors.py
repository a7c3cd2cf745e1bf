"""The errors that a user can mend."""


class UserError(ValueError):
    """A mistake of the user's, raised where a value enters: what was expected, what came, and how to mend it.

    Tools print its message and end; every other exception is a fault of this program and shows its traceback.
    """
