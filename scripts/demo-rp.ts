// A small app that signs people in with this service, by openid-client and nothing of ours: npm run demo
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import * as oidc from 'openid-client';
import { loadConfig } from '../src/config.ts';
import { DEMO_CLIENT_ID, DEMO_RP, demoSecrets } from '../src/demo.ts';
import { openDataDir } from '../src/storage/data-dir.ts';

type Tokens = Awaited<ReturnType<typeof oidc.authorizationCodeGrant>>;
type Visit = {
  verifier?: string;
  state?: string;
  nonce?: string;
  tokens?: Tokens;
  userinfo?: oidc.UserInfoResponse;
  notice?: string;
};

const { config } = loadConfig();
const stop = (message: string): never => {
  process.stderr.write(`${message}\n`);
  process.exit(1);
};
// First of all whether the service runs: it is what makes the secret that is read next.
await fetch(`${config.issuer}/health`).catch((error: Error) =>
  stop(`No answer from ${config.issuer} (${error.message}). Run npm start first.`),
);
const { clientSecret } = await demoSecrets(await openDataDir(config.dataDir));
const rp = await oidc
  .discovery(new URL(config.issuer), DEMO_CLIENT_ID, clientSecret, undefined, {
    // The demo's issuer is http on localhost; a real app never needs this.
    execute: [oidc.allowInsecureRequests],
  })
  .catch((error: Error) => stop(`${config.issuer} is not an OpenID Connect issuer: ${error.message}`));

const visits = new Map<string, Visit>();

const visitOf = (req: IncomingMessage, res: ServerResponse): Visit => {
  const id = /(?:^|; )demo=([\w-]{36})/.exec(req.headers.cookie ?? '')?.[1] ?? '';
  const known = visits.get(id);
  if (known) return known;
  const visit: Visit = {};
  const fresh = randomUUID();
  visits.set(fresh, visit);
  res.setHeader('Set-Cookie', `demo=${fresh}; HttpOnly; SameSite=Lax; Path=/`);
  return visit;
};

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** What a person is called: as good as the claims allow. */
const nameOf = (claims: oidc.UserInfoResponse | undefined): string =>
  String(claims?.name ?? claims?.preferred_username ?? claims?.email ?? claims?.sub);

const page = ({ tokens, userinfo, notice }: Visit): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Demo app</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}
pre{overflow:auto;padding:1rem;border:1px solid #8886;border-radius:8px;font-size:.85rem}
button{font:inherit;padding:.5rem 1rem;min-height:44px;margin:0 .5rem .5rem 0}form{display:inline}</style></head><body>
<h1>Demo app</h1>${notice ? `<p role="status">${escapeHtml(notice)}</p>` : ''}
${
  tokens
    ? `<p>You are signed in as <strong id="sub">${escapeHtml(nameOf(userinfo))}</strong>.</p>
<form method="post" action="/refresh"><button id="refresh">Refresh the tokens</button></form>
<form method="post" action="/logout"><button id="logout">Sign out</button></form>
<h2>Claims of the ID token</h2><pre id="claims">${escapeHtml(JSON.stringify(tokens.claims(), null, 2))}</pre>
<h2>Userinfo</h2><pre id="userinfo">${escapeHtml(JSON.stringify(userinfo, null, 2))}</pre>`
    : `<p>This app knows nobody yet.</p><form method="post" action="/login"><button id="login">Sign in with User Auth</button></form>`
}</body></html>`;

const redirect = (res: ServerResponse, location: string): void => {
  res.writeHead(303, { Location: location }).end();
};

const routes: Record<string, (visit: Visit, req: IncomingMessage, res: ServerResponse) => Promise<void>> = {
  async 'GET /'(visit, _req, res) {
    res.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page(visit));
    visit.notice = undefined;
  },

  async 'POST /login'(visit, _req, res) {
    visit.verifier = oidc.randomPKCECodeVerifier();
    visit.state = oidc.randomState();
    visit.nonce = oidc.randomNonce();
    const url = oidc.buildAuthorizationUrl(rp, {
      redirect_uri: `${DEMO_RP}/callback`,
      scope: 'openid profile email offline_access',
      // OIDC Core §11: offline access is given only where the person is asked.
      prompt: 'consent',
      code_challenge: await oidc.calculatePKCECodeChallenge(visit.verifier),
      code_challenge_method: 'S256',
      state: visit.state,
      nonce: visit.nonce,
    });
    redirect(res, url.href);
  },

  async 'GET /callback'(visit, req, res) {
    const { verifier, state, nonce } = visit;
    visit.tokens = await oidc.authorizationCodeGrant(rp, new URL(req.url ?? '/', DEMO_RP), {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: nonce,
    });
    visit.userinfo = await oidc.fetchUserInfo(rp, visit.tokens.access_token, visit.tokens.claims()?.sub ?? '');
    redirect(res, '/');
  },

  async 'POST /refresh'(visit, _req, res) {
    const refreshed = await oidc.refreshTokenGrant(rp, visit.tokens?.refresh_token ?? '');
    visit.tokens = refreshed;
    visit.notice = `New tokens, good for ${refreshed.expires_in} seconds.`;
    redirect(res, '/');
  },

  async 'POST /logout'(visit, _req, res) {
    const url = oidc.buildEndSessionUrl(rp, {
      post_logout_redirect_uri: `${DEMO_RP}/`,
      id_token_hint: visit.tokens?.id_token ?? '',
    });
    visit.tokens = undefined;
    visit.notice = 'Signed out of this app.';
    redirect(res, url.href);
  },
};

const server = createServer(async (req, res) => {
  const visit = visitOf(req, res);
  try {
    const route = routes[`${req.method} ${new URL(req.url ?? '/', DEMO_RP).pathname}`];
    if (!route) res.writeHead(404).end('Not found');
    else await route(visit, req, res);
  } catch (error) {
    // What an authorization server says when it says no: shown, since this is a demo.
    visit.notice = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    if (error instanceof oidc.AuthorizationResponseError)
      visit.notice = `The sign-in ended: ${error.error_description}`;
    redirect(res, '/');
  }
});

server.once('error', () => stop(`${DEMO_RP} cannot be listened on: is the demo running already?`));
server.listen(Number(new URL(DEMO_RP).port), 'localhost', () => {
  process.stdout.write(`\n  Demo app: ${DEMO_RP}\n  Signs in with: ${config.issuer}\n\n`);
});
