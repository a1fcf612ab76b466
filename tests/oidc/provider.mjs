// An OpenID provider for tests: the certified oidc-provider, on this machine, for whoever is named in the login_hint.
// Usage: node provider.mjs SETTINGS (a file of JSON: issuer, port, modules, keys, clients, people); it writes a line
// when it is ready, and ends when its input does. People are read again at each sign-in.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const said = () => JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { issuer, port, modules, keys, clients } = said();
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`).href);

const provider = new Provider(issuer, {
  clients,
  jwks: { keys },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  scopes: ['openid', 'email', 'groups'],
  cookies: { keys: ['a key of tests'] },
  features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: true } },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
  conformIdTokenClaims: !said().claims_in_id_token,
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'HS256'] },
  pkce: { required: () => true },
  ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 600, IdToken: 60, Interaction: 600, Session: 600 },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...said().people[id] }) }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  async loadExistingGrant(context) {
    const grant = new provider.Grant({ clientId: context.oidc.client.clientId, accountId: context.oidc.session.accountId });
    grant.addOIDCScope('openid email groups');
    await grant.save();
    return grant;
  },
});

provider.use(async (context, next) => {
  if (!context.path.startsWith('/interaction/')) return next();
  const { params } = await provider.interactionDetails(context.req, context.res);
  context.respond = false;
  await provider.interactionFinished(context.req, context.res, { login: { accountId: params.login_hint } });
});

process.stdin.on('end', () => process.exit()).resume(); // so that it ends with whoever started it
createServer(provider.callback()).listen(port, '127.0.0.1', () => console.log('ready'));
