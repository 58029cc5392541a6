// Other people's identity providers: one that speaks Google's dialect of OpenID Connect, one that is GitHub, and a company's own. Each
// keeps the protocol as the real one does, and can be told to break it.
import { createHash, createHmac, createPublicKey, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { exportJWK, generateKeyPair, importJWK, type JWK, type JWTPayload, SignJWT } from 'jose';
import Koa from 'koa';
import { interactionPolicy, Provider } from 'oidc-provider';
import type { FederationSettings } from '../../src/federation/providers.ts';

/** Who is signed in at the provider. */
export type Upstream = {
  sub: string;
  email?: string;
  email_verified?: boolean | string;
  name?: string;
  picture?: string;
  preferred_username?: string;
};

export type Switches = {
  person: Upstream;
  /** The person is asked, by a page; otherwise they are signed in without a word. */
  asks: boolean;
  /** The person turns back. */
  cancels: boolean;
  /** Answers the callback with this error. */
  error?: string | undefined;
  /** How what this path begins with is answered. */
  fault?: { path: string; as: 'slow' | 'drip' | '500' | 'html' | 'huge' | 'elsewhere' | 'array' | 'types' } | undefined;
  /** What these paths begin with is answered rightly, and late. */
  late?: { paths: string[]; ms: number } | undefined;
  /** What becomes of the ID token on its way. */
  idToken?: ((claims: JWTPayload) => JWTPayload) | undefined;
  signedByStranger: boolean;
  /** The ID token is signed by HMAC, with what others have or could have. */
  hmacKey?: 'client secret' | 'public key as PEM' | 'public key as JWK' | undefined;
  /** GitHub's addresses, where there are others than the person's. */
  emails?: { email: string; primary: boolean; verified: boolean }[] | undefined;
  unsigned: boolean;
  /** When the person signed in there, in epoch seconds; now when absent. */
  signedInAt?: number | undefined;
  amr?: string[] | undefined;
  /** Says when the person signed in; Google only where that was switched on. */
  tellsWhen: boolean;
  /** What the provider is not asked for, it does not say (OIDC Core §5.4); Google puts it into the ID token all the same. */
  claimsInIdToken: boolean;
};

let serial = 0;
/** Somebody new, whose address the provider has verified. */
export const somebody = (more: Partial<Upstream> = {}): Upstream => {
  serial += 1;
  return {
    sub: `upstream-${serial}`,
    email: `upstream-${serial}@example.com`,
    email_verified: true,
    name: `Ada ${serial} Lovelace`,
    picture: `https://pictures.example/${serial}.png`,
    ...more,
  };
};

const listen = async () => {
  let answer: RequestListener = (_req, res) => res.writeHead(500).end();
  const http = createServer((req, res) => answer(req, res)).listen(0, 'localhost');
  await once(http, 'listening');
  const origin = `http://localhost:${(http.address() as AddressInfo).port}`;
  return {
    origin,
    serve(listener: RequestListener) {
      answer = listener;
    },
    async close() {
      http.closeAllConnections();
      http.close();
      await once(http, 'close');
    },
  };
};

const page = (body: string) =>
  `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Provider</title><main>${body}</main></html>`;

/** JSON, and nothing in it what it should be; the token would be two headers. */
const NONSENSE = {
  access_token: 'a\r\nX-Evil: 1',
  token_type: 7,
  id_token: { sub: 'x' },
  issuer: 7,
  authorization_endpoint: 'javascript:alert(1)',
  token_endpoint: [],
  jwks_uri: null,
  keys: 'none',
  sub: ['x'],
  id: '1',
  login: {},
};

/** Answers as `fault` says; false when this request is none of its. */
const misbehave = async (ctx: Koa.Context, { fault, late }: Switches, origin: string): Promise<boolean> => {
  if (late?.paths.some((path) => ctx.path.startsWith(path))) await sleep(late.ms);
  if (!fault || !ctx.path.startsWith(fault.path)) return false;
  if (fault.as === 'slow') {
    // Longer than anybody waits; the connection is closed before.
    await Promise.race([once(ctx.req.socket, 'close'), sleep(60_000, undefined, { ref: false })]);
    ctx.respond = false;
    return true;
  }
  if (fault.as === 'drip') {
    // It has begun, and goes on and on.
    const drops = new PassThrough();
    const drip = setInterval(() => drops.write(' '), 100);
    ctx.req.socket.once('close', () => clearInterval(drip));
    ctx.type = 'json';
    ctx.body = drops;
    return true;
  }
  ctx.status = fault.as === '500' ? 500 : 200;
  if (fault.as === '500') ctx.body = { error: 'server_error' };
  if (fault.as === 'html') ctx.body = page('<h1>We will be right back</h1>');
  if (fault.as === 'huge') ctx.body = { padding: 'x'.repeat(1_000_000) };
  if (fault.as === 'array') ctx.body = [];
  if (fault.as === 'types') ctx.body = NONSENSE;
  if (fault.as === 'elsewhere') {
    ctx.status = 307;
    ctx.redirect(`${origin}/elsewhere`);
  }
  return true;
};

const newSwitches = (claimsInIdToken: boolean): Switches => ({
  person: somebody(),
  asks: false,
  cancels: false,
  signedByStranger: false,
  unsigned: false,
  claimsInIdToken,
  tellsWhen: !claimsInIdToken,
});

type Client = { clientId: string; clientSecret: string };

const newKey = async (): Promise<JWK> => {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: 'upstream', alg: 'RS256', use: 'sig' };
};

/** An OpenID provider, on oidc-provider. */
const openIdProvider = async (client: Client, claimsInIdToken: boolean) => {
  const http = await listen();
  const switches = newSwitches(claimsInIdToken);
  const [key, stranger] = [await newKey(), await newKey()];
  const people = new Map<string, Upstream>();
  const requests: string[] = [];

  const signed = async (idToken: string): Promise<string> => {
    const [, payload = ''] = idToken.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    if (!switches.tellsWhen) delete claims.auth_time;
    const altered = switches.idToken?.(claims) ?? claims;
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    if (switches.unsigned) return `${encode({ alg: 'none' })}.${encode(altered)}.`;
    if (switches.hmacKey) {
      const head = `${encode({ alg: 'HS256', kid: 'upstream', typ: 'JWT' })}.${encode(altered)}`;
      const { d: _, p: __, q: ___, dp: ____, dq: _____, qi: ______, ...jwk } = key;
      const secret = {
        'client secret': client.clientSecret,
        'public key as PEM': createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' }),
        'public key as JWK': JSON.stringify(jwk),
      }[switches.hmacKey];
      return `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`;
    }
    const signer = await importJWK(switches.signedByStranger ? stranger : key, 'RS256');
    return new SignJWT(altered).setProtectedHeader({ alg: 'RS256', kid: 'upstream' }).sign(signer);
  };

  const serve = (redirectUri: string) => {
    const policy = interactionPolicy.base();
    policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);
    const provider = new Provider(http.origin, {
      clients: [
        {
          client_id: client.clientId,
          client_secret: client.clientSecret,
          redirect_uris: [redirectUri],
          token_endpoint_auth_method: claimsInIdToken ? 'client_secret_post' : 'client_secret_basic',
        },
      ],
      clientAuthMethods: [claimsInIdToken ? 'client_secret_post' : 'client_secret_basic'],
      pkce: { required: () => true },
      ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
      jwks: { keys: [key] },
      cookies: {
        keys: ['the cookies of a provider'],
        names: { session: 'up_session', interaction: 'up_interaction', resume: 'up_resume' },
      },
      claims: {
        openid: ['sub', 'amr'],
        email: ['email', 'email_verified'],
        profile: ['name', 'picture', 'preferred_username'],
      },
      conformIdTokenClaims: !claimsInIdToken,
      features: { devInteractions: { enabled: false }, claimsParameter: { enabled: true } },
      interactions: { policy, url: (_ctx, { uid }) => `/signin/${uid}` },
      findAccount: (_ctx, id) => ({
        accountId: id,
        claims: () => JSON.parse(JSON.stringify({ ...people.get(id), sub: id })),
      }),
      async loadExistingGrant(ctx) {
        const grant = new ctx.oidc.provider.Grant({
          clientId: client.clientId,
          accountId: String(ctx.oidc.session?.accountId),
        });
        grant.addOIDCScope('openid email profile');
        await grant.save();
        return grant;
      },
    });
    provider.on('server_error', (_ctx, error) => requests.push(`server_error ${error.message}`));

    const app = new Koa();
    app.silent = true;
    app.use(async (ctx, next) => {
      requests.push(`${ctx.method} ${ctx.path}`);
      if (await misbehave(ctx, switches, http.origin)) return;
      const at = /^\/signin\/([\w-]+)(\/\w+)?$/.exec(ctx.path);
      if (at) {
        const cancels = at[2] === '/cancel' || switches.cancels;
        if (switches.asks && at[2] === undefined) {
          ctx.body = page(
            `<h1>Continue as ${switches.person.name}?</h1><form method="post" action="${ctx.path}/go"><button id="upstream-continue">Continue</button></form>
             <form method="post" action="${ctx.path}/cancel"><button id="upstream-cancel">Cancel</button></form>`,
          );
          return;
        }
        const { sub } = switches.person;
        people.set(sub, switches.person);
        ctx.respond = false;
        const login = { accountId: sub, ts: switches.signedInAt, amr: switches.amr };
        const error = switches.error ?? (cancels ? 'access_denied' : undefined);
        await provider.interactionFinished(
          ctx.req,
          ctx.res,
          error ? { error } : { login: JSON.parse(JSON.stringify(login)), select_account: {} },
        );
        return;
      }
      await next();
    });
    app.use(async (ctx) => {
      ctx.respond = false;
      await provider.callback()(ctx.req, ctx.res);
    });
    // The engine is an application of its own: its answers are altered inside it.
    provider.use(async (ctx, next) => {
      await next();
      if (ctx.path === '/token' && typeof Object(ctx.body).id_token === 'string')
        ctx.body = { ...(ctx.body as object), id_token: await signed(Object(ctx.body).id_token) };
    });
    http.serve(app.callback());
  };

  return {
    ...http,
    switches,
    requests,
    serve,
    reset: () => Object.assign(switches, cleared(), newSwitches(claimsInIdToken)),
  };
};

const cleared = () => ({
  error: undefined,
  fault: undefined,
  late: undefined,
  hmacKey: undefined,
  emails: undefined,
  idToken: undefined,
  signedInAt: undefined,
  amr: undefined,
});

/** GitHub: plain OAuth, and an API. */
const gitHub = async (client: Client) => {
  const http = await listen();
  const switches = newSwitches(false);
  const requests: string[] = [];
  const codes = new Map<string, { challenge: string; person: Upstream; redirectUri: string }>();
  const tokens = new Map<string, Upstream>();

  const serve = (redirectUri: string) => {
    const authorize = (ctx: Koa.Context) => {
      const { client_id, redirect_uri, state, code_challenge, code_challenge_method, scope } = ctx.query;
      const sound =
        client_id === client.clientId &&
        redirect_uri === redirectUri &&
        code_challenge_method === 'S256' &&
        scope === 'read:user user:email';
      if (!sound) return ctx.throw(400);
      const callback = new URL(redirectUri);
      callback.searchParams.set('state', String(state));
      if (switches.asks && ctx.query.answer === undefined) {
        const again = ctx.url.replaceAll('&', '&amp;');
        ctx.body = page(
          `<h1>Authorize?</h1><p><a id="upstream-continue" href="${again}&amp;answer=yes">Authorize</a> <a id="upstream-cancel" href="${again}&amp;answer=no">Cancel</a></p>`,
        );
        return;
      }
      if (switches.cancels || ctx.query.answer === 'no') callback.searchParams.set('error', 'access_denied');
      else if (switches.error) callback.searchParams.set('error', switches.error);
      else {
        const code = randomBytes(10).toString('hex');
        codes.set(code, { challenge: String(code_challenge), person: switches.person, redirectUri });
        callback.searchParams.set('code', code);
      }
      ctx.redirect(callback.href);
    };

    const token = async (ctx: Koa.Context) => {
      const form = new URLSearchParams(await text(ctx.req));
      const code = codes.get(form.get('code') ?? '');
      codes.delete(form.get('code') ?? '');
      const challenge = createHash('sha256')
        .update(form.get('code_verifier') ?? '')
        .digest('base64url');
      const known = form.get('client_id') === client.clientId && form.get('client_secret') === client.clientSecret;
      // As GitHub does it: 200, and an error.
      ctx.body = { error: known ? 'bad_verification_code' : 'incorrect_client_credentials' };
      if (!known || !code || code.challenge !== challenge || form.get('redirect_uri') !== code.redirectUri) return;
      const accessToken = `gho_${randomUUID()}`;
      tokens.set(accessToken, code.person);
      ctx.body = { access_token: accessToken, token_type: 'bearer', scope: 'read:user,user:email' };
    };

    const app = new Koa();
    app.silent = true;
    app.use(async (ctx) => {
      requests.push(`${ctx.method} ${ctx.path}`);
      if (await misbehave(ctx, switches, http.origin)) return;
      if (ctx.path === '/login/oauth/authorize') return authorize(ctx);
      if (ctx.path === '/login/oauth/access_token') return token(ctx);
      const person = tokens.get(ctx.get('authorization').replace('Bearer ', ''));
      if (!person) return ctx.throw(401);
      const { sub, email, email_verified, name, picture, preferred_username } = person;
      if (ctx.path === '/api/user')
        ctx.body = {
          id: Number(sub.replace(/\D/g, '')),
          login: preferred_username ?? `octo-${sub}`,
          name: name ?? null,
          avatar_url: picture,
          // What anybody may put on their profile.
          email: 'public-profile@example.com',
        };
      if (ctx.path === '/api/user/emails')
        ctx.body = switches.emails ?? [
          { email: 'second@example.com', primary: false, verified: true, visibility: null },
          ...(email === undefined
            ? []
            : [{ email, primary: true, verified: email_verified === true, visibility: 'private' }]),
        ];
    });
    http.serve(app.callback());
  };
  return { ...http, switches, requests, serve, reset: () => Object.assign(switches, cleared(), newSwitches(false)) };
};

export type TestProvider = Awaited<ReturnType<typeof gitHub>>;
export type ProviderName = 'google' | 'github' | 'acme';

/** All of them, on ports of their own. `serve` once it is known where our service is. */
export const startIdentityProviders = async () => {
  const clients = {
    google: { clientId: 'google-client', clientSecret: 'a secret of Google & more' },
    github: { clientId: 'github-client', clientSecret: 'a secret of GitHub' },
    acme: { clientId: 'acme client', clientSecret: 'a secret: of Acme/100%' },
  };
  const [google, github, acme] = await Promise.all([
    openIdProvider(clients.google, true),
    gitHub(clients.github),
    openIdProvider(clients.acme, false),
  ]);
  const all: Record<ProviderName, TestProvider> = { google, github, acme };
  const settings: FederationSettings = {
    google: { ...clients.google, issuer: google.origin },
    github: { ...clients.github, url: github.origin, apiUrl: `${github.origin}/api` },
    openid: [{ ...clients.acme, name: 'acme', label: 'Acme Staff', issuer: acme.origin }],
  };
  return {
    ...all,
    settings,
    serve(ourIssuer: string) {
      for (const [name, provider] of Object.entries(all)) provider.serve(`${ourIssuer}/oauth/${name}/callback`);
    },
    async close() {
      await Promise.all(Object.values(all).map((provider) => provider.close()));
    },
  };
};

export type IdentityProviders = Awaited<ReturnType<typeof startIdentityProviders>>;
