"""Who may do what: people with a session, programs with a token, and the shell of the server."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.accounts.emails import as_email
    from tasks.accounts.fetching import ProviderAway
    from tasks.accounts.groups import RoleGrant, grant_of
    from tasks.accounts.id_tokens import TokenRefused
    from tasks.accounts.openid import OpenIdProvider, beginning_of, begun_by, new_cookie
    from tasks.accounts.passwords import LEAST, fault_of, hash_password, is_outdated, is_password
    from tasks.accounts.people import (
        AccountDetails,
        Credentials,
        LinkPurpose,
        account_of,
        accounts_after,
        add_account,
        behind_link,
        disable_account,
        end_sessions_and_links,
        make_link,
        renew_password,
        set_password,
        set_totp,
        use_totp,
    )
    from tasks.accounts.provided import (
        ProvidedAccount,
        ProvidedPerson,
        accounts_for,
        add_provided,
        person_of,
        provide,
    )
    from tasks.accounts.rules import PERMISSIONS, Caller, Door, Permission, Role, Scope, permits
    from tasks.accounts.secret import digest, new_secret, new_token
    from tasks.accounts.sessions import (
        OwnSession,
        SessionDetails,
        begin_session,
        caller_of_session,
        end_other_sessions,
        end_own_session,
        end_session,
        end_sessions,
        forget_sessions,
        form_key,
        is_form_key,
        own_sessions,
        session_id,
        sessions_after,
    )
    from tasks.accounts.throttle import Tries
    from tasks.accounts.tokens import (
        TokenDetails,
        TokenHolder,
        TokenUses,
        add_token,
        caller_of_token,
        revoke_token,
        revoke_tokens_of,
        tokens_after,
    )
    from tasks.accounts.totp import SecondFactors
else:
    __getattr__ = lazily(__name__)
