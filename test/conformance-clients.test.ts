// npm run conformance-clients: what it registers is what the plans need, tried as the conformance suite tries it.
import { join } from 'node:path';
import test from 'ava';
import { decodeJwt, decodeProtectedHeader, importJWK, type JWK } from 'jose';
import * as oidc from 'openid-client';
import { SCOPES } from '../src/domain/claims.ts';
import { createBrowser } from './helpers/browser.ts';
import { authorizationRequest, passThrough, redeem } from './helpers/relying-party.ts';
import { killAll, run, type Service, startService, temporaryDir } from './helpers/service.ts';

type ToldClient = { client_id: string; client_secret?: string; jwks?: { keys: JWK[] } };
type Told = {
  user: { email: string; password: string };
  plans: { plan: string; variant: Record<string, string>; configuration: Record<string, unknown> }[];
  left_out: { plan: string; because: string }[];
};

let service: Service;
let told: Told;

const register = async (args: string[] = [], more: Record<string, string> = {}) => {
  const env = { DATA_DIR: service.dataDir, PORT: String(service.port), ...more };
  return run('scripts/conformance-clients.ts', args, env);
};
const configurationOf = (plan: string) => {
  const found = told.plans.find((one) => one.plan === plan);
  if (!found) throw new Error(`no ${plan}: ${JSON.stringify(told.left_out)}`);
  return found.configuration as { alias: string; server: { discoveryUrl: string } } & Record<string, ToldClient>;
};
const CALLBACK = 'https://localhost.emobix.co.uk:8443/test/a/user-auth/callback';

test.before(async () => {
  service = await startService();
  // Twice: the second time replaces what the first one made.
  await register();
  const { code, stdout, stderr } = await register();
  if (code !== 0) throw new Error(stderr);
  told = JSON.parse(stdout);
});
test.after.always(killAll);

const clientOf = (plan: string, name = 'client'): ToldClient => {
  const client = configurationOf(plan)[name];
  if (!client) throw new Error(`no ${name} in ${plan}`);
  return client;
};
const discover = ({ client_id, client_secret }: ToldClient, auth?: oidc.ClientAuth, more = {}) =>
  oidc.discovery(new URL(service.origin), client_id, { client_secret, ...more }, auth, {
    execute: [oidc.allowInsecureRequests],
  });
const person = () => ({ id: '', ...told.user });

test('every plan is there, or it is said why not', (t) => {
  const named = [...told.plans, ...told.left_out].map(({ plan }) => plan);
  for (const plan of [
    'oidcc-config-certification-test-plan',
    'oidcc-basic-certification-test-plan',
    'oidcc-formpost-basic-certification-test-plan',
    'oidcc-dynamic-certification-test-plan',
    'oidcc-rp-initiated-logout-certification-test-plan',
    'oidcc-backchannel-rp-initiated-logout-certification-test-plan',
    'fapi2-security-profile-final-test-plan',
    'fapi2-message-signing-final-test-plan',
    'fapi-ciba-id1-test-plan',
  ])
    t.true(named.includes(plan), plan);
  for (const { because } of told.left_out) t.regex(because, /MTLS_CERTIFICATE_HEADER/);
  for (const { configuration } of told.plans)
    t.like(configuration, {
      alias: 'user-auth',
      server: { discoveryUrl: `${service.origin}/.well-known/openid-configuration` },
    });
});

test('where a proxy hands on certificates, nothing is left out', async (t) => {
  const { stdout } = await register(['--alias', 'behind-a-proxy'], {
    // Stores of its own: it would replace what the other tests go by.
    DATA_DIR: join(temporaryDir(), 'data'),
    MTLS_CERTIFICATE_HEADER: 'x-client-cert',
    TRUST_PROXY: '1',
  });
  const { left_out, plans } = JSON.parse(stdout) as Told;
  t.deepEqual(left_out, []);
  t.is(plans.filter(({ plan }) => plan === 'fapi-ciba-id1-test-plan').length, 2);
});

test('basic: both clients sign the user in without PKCE, by RS256, and userinfo has every standard claim', async (t) => {
  for (const name of ['client', 'client2', 'client_secret_post']) {
    const client = clientOf('oidcc-basic-certification-test-plan', name);
    const auth = name === 'client_secret_post' ? oidc.ClientSecretPost(client.client_secret) : undefined;
    const rp = await discover(client, auth);
    const browser = createBrowser(service.origin);
    const started = await authorizationRequest(rp, {
      redirect_uri: CALLBACK,
      scope: 'openid profile email address phone',
      code_challenge: undefined,
      code_challenge_method: undefined,
    });
    const arrived = await passThrough(browser, await browser.go(started.url), person());
    const tokens = await oidc.authorizationCodeGrant(rp, arrived.url, {
      expectedState: started.state,
      expectedNonce: String(started.nonce),
    });
    t.is(decodeProtectedHeader(String(tokens.id_token)).alg, 'RS256');
    const claims = await oidc.fetchUserInfo(rp, tokens.access_token, String(tokens.claims()?.sub));
    const standard = [SCOPES.openid, SCOPES.profile, SCOPES.email, SCOPES.address, SCOPES.phone].flat();
    t.deepEqual(Object.keys(claims).sort(), [...standard].sort());
  }
});

test('logout: the client is sent back to where the suite waits', async (t) => {
  const rp = await discover(clientOf('oidcc-rp-initiated-logout-certification-test-plan'));
  const browser = createBrowser(service.origin);
  const started = await authorizationRequest(rp, { redirect_uri: CALLBACK });
  const arrived = await passThrough(browser, await browser.go(started.url), person());
  const tokens = await redeem(rp, arrived.url, started);
  const after = CALLBACK.replace('callback', 'post_logout_redirect');
  const page = await browser.go(
    oidc.buildEndSessionUrl(rp, {
      id_token_hint: String(tokens.id_token),
      post_logout_redirect_uri: after,
      state: 'a state',
    }),
  );
  const left = await browser.submit(page, 'sign-out');
  t.is(left.url.href, `${after}?state=a+state`);
});

for (const [plan, mode] of [
  ['fapi2-security-profile-final-test-plan', {}],
  ['fapi2-message-signing-final-test-plan', { response_mode: 'jwt' }],
] as const)
  test(`${plan}: both clients push their requests, and their tokens are bound by DPoP`, async (t) => {
    for (const name of ['client', 'client2']) {
      const client = clientOf(plan, name);
      const [jwk] = client.jwks?.keys ?? [];
      const key = (await importJWK(jwk ?? {}, jwk?.alg)) as oidc.CryptoKey;
      const signing = { key, kid: String(jwk?.kid) };
      const alg = { id_token_signed_response_alg: 'PS256', authorization_signed_response_alg: 'PS256' };
      // FAPI 2.0 SP §5.3.2.1: the audience is the issuer alone.
      const auth = oidc.PrivateKeyJwt(signing, {
        [oidc.modifyAssertion]: (_header, payload) => {
          payload.aud = service.origin;
        },
      });
      const rp = await discover(client, auth, alg);
      const signed = plan.includes('message');
      if (signed) oidc.useJwtResponseMode(rp);
      const DPoP = oidc.getDPoPHandle(rp, await oidc.randomDPoPKeyPair('ES256'));
      const redirect_uri = name === 'client' ? CALLBACK : `${CALLBACK}?dummy1=lorem&dummy2=ipsum`;
      const { url, ...started } = await authorizationRequest(rp, { redirect_uri, ...mode });
      const asked = signed ? await oidc.buildAuthorizationUrlWithJAR(rp, url.searchParams, signing) : url;
      const pushed = await oidc.buildAuthorizationUrlWithPAR(rp, asked.searchParams, { DPoP });
      const browser = createBrowser(service.origin);
      const arrived = await passThrough(browser, await browser.go(pushed), person());
      t.is(arrived.status, 0);
      const { code, response } = Object.fromEntries(arrived.url.searchParams);
      // The library's own way takes every query of a redirect URI for a part of the answer.
      const tokens = await oidc.genericGrantRequest(
        rp,
        'authorization_code',
        {
          code: code ?? String(decodeJwt(String(response)).code),
          redirect_uri,
          code_verifier: started.verifier,
        },
        { DPoP },
      );
      t.is(tokens.token_type, 'dpop');
    }
  });

test('a suite that is no https origin, and an odd alias, are refused in one line', async (t) => {
  for (const args of [
    ['--suite', 'http://suite.example'],
    ['--suite', 'https://suite.example/path'],
    ['--alias', 'a/b'],
    ['--nonsense'],
  ]) {
    const { code, stderr } = await register(args);
    t.is(code, 1);
    t.regex(stderr, /usage/);
    t.is(stderr.trim().split('\n').length, 1);
  }
});
