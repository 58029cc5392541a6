// A third kind of provider is one file: proven by one, which comes the whole way against a server of its own.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import test from 'ava';
import type { Kind } from '../../src/federation/identity.ts';
import { KINDS } from '../../src/federation/kinds.ts';
import { createProviders } from '../../src/federation/providers.ts';
import { createProviderNetwork } from '../../src/oidc/outbound.ts';
import { gitea } from './gitea.ts';

const start = async () => {
  let challenge = '';
  const http = createServer(async (req, res) => {
    const { pathname } = new URL(req.url ?? '', 'http://localhost');
    const answer = (body: unknown) => res.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    if (pathname === '/login/oauth/access_token') {
      const form = new URLSearchParams(await text(req));
      const hashed = createHash('sha256')
        .update(form.get('code_verifier') ?? '')
        .digest('base64url');
      const sound = form.get('code') === 'a-code' && hashed === challenge && form.get('client_secret') === 'secret';
      return answer(sound ? { access_token: 'a-token', token_type: 'bearer' } : { error: 'invalid_grant' });
    }
    if (req.headers.authorization !== 'Bearer a-token') return res.writeHead(401).end();
    if (pathname === '/api/v1/user')
      return answer({ id: 7, login: 'ada', full_name: 'Ada', avatar_url: 'https://a/b' });
    return answer([{ email: 'ada@example.com', primary: true, verified: true }]);
  }).listen(0, 'localhost');
  await once(http, 'listening');
  return {
    url: `http://localhost:${(http.address() as AddressInfo).port}`,
    expect(url: URL) {
      challenge = url.searchParams.get('code_challenge') ?? '';
    },
    close: () => new Promise((resolve) => http.close(resolve)),
  };
};

test('a file of some forty lines is a provider with a client and an address of its own', async (t) => {
  const upstream = await start();
  t.teardown(upstream.close);
  const settings = { openid: [], gitea: { clientId: 'client', clientSecret: 'secret', url: upstream.url } };
  const providers = createProviders(settings, 'https://id.example.com', createProviderNetwork(), [
    ...(KINDS as unknown as Kind[]),
    gitea,
  ]);
  t.deepEqual(
    providers.all.map(({ id, label, issuer }) => ({ id, label, issuer })),
    [{ id: 'gitea', label: 'Gitea', issuer: upstream.url }],
  );
  const provider = providers.find('gitea');
  const trip = providers.newTrip();
  const url = await provider?.authorizationUrl(trip);
  t.is(url?.searchParams.get('redirect_uri'), 'https://id.example.com/oauth/gitea/callback');
  t.is(url?.searchParams.get('code_challenge_method'), 'S256');
  t.is(url?.searchParams.get('state'), trip.state);
  upstream.expect(url as URL);
  const back = new URLSearchParams({ code: 'a-code', state: trip.state });
  t.like(await provider?.identify(back, trip), {
    provider: 'gitea',
    issuer: upstream.url,
    subject: '7',
    email: 'ada@example.com',
    emailVerified: true,
    name: 'Ada',
    username: 'ada',
  });
  await t.throwsAsync(provider?.identify(back, providers.newTrip()) ?? Promise.resolve(), { message: /invalid_grant/ });
  await t.throwsAsync(provider?.identify(new URLSearchParams({ error: 'access_denied' }), trip) ?? Promise.resolve(), {
    message: 'access_denied',
  });
});
