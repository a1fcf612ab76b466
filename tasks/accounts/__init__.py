"""Who may do what: people with a session, programs with a token, and the shell of the server."""

from tasks.accounts.rules import PERMISSIONS, Caller, Door, Permission, Role, Scope, permits
