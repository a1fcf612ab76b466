"""Who may do what: people with a session, programs with a token, and the shell of the server."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.accounts.rules import PERMISSIONS, Caller, Door, Permission, Role, Scope, permits
    from tasks.accounts.secret import digest, is_token, new_token
    from tasks.accounts.tokens import TokenDetails, TokenUses, add_token, caller_of_token, revoke_token, tokens_after
else:
    __getattr__ = lazily(__name__)
