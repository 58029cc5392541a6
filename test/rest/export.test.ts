import test from 'ava';
import { exportOperations } from '../../src/http/operations/export.ts';
import { createBrowser } from '../helpers/browser.ts';
import { tokenTo } from '../helpers/mailbox.ts';
import { newApp, signIn } from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

let count = 0;
const signedIn = async () => {
  const email = `curious${++count}@example.com`;
  const { body } = await rest.post('/auth/register', { email, password: 'secret1' });
  const tokens = await rest.post('/auth/login', { email, password: 'secret1' });
  const auth = bearer(tokens.body.access_token);
  return { id: String(body.id), email, password: 'secret1', auth, tokens: tokens.body };
};

test('the export holds everything about its owner, as a file, and nothing that signs anybody in', async (t) => {
  const { auth, tokens, ...person } = await signedIn();
  const key = await rest.post('/users/api-keys', { name: 'My Service', scopes: ['read:profile'] }, auth);
  await rest.put('/users/me', { name: 'Ada Lovelace', address: { country: 'UK' } }, auth);
  await rest.put('/users/me', { email: 'next@example.com', current_password: 'secret1' }, auth);
  const { client, rp } = await newApp(server, { client_name: 'Notes' });
  await signIn(createBrowser(server.issuer), rp, person, { scope: 'openid email' });
  await rest.post('/auth/login', { email: person.email, password: 'wrong12' });

  const removed = { provider: 'github', issuer: 'https://github.com', subject: '583231' };
  await server.database.pool.query(
    'INSERT INTO removed_identities (user_id, provider, issuer, subject) VALUES ($1, $2, $3, $4)',
    [person.id, ...Object.values(removed)],
  );

  const answer = await rest.get('/users/me/export', auth);
  t.is(answer.status, 200);
  t.is(answer.headers.get('content-disposition'), 'attachment; filename="user-auth-export.json"');
  t.is(answer.headers.get('cache-control'), 'no-store');
  const body = exportOperations['GET /users/me/export'].answers[200].body.parse(answer.body);
  t.like(body.account, {
    id: person.id,
    email: person.email,
    name: 'Ada Lovelace',
    pending_email: 'next@example.com',
    has_password: true,
  });
  t.deepEqual(body.account.address, { country: 'UK' });
  t.deepEqual(
    body.api_keys.map(({ name }) => name),
    ['My Service'],
  );
  t.deepEqual(body.sessions.map(({ kind }) => kind).sort(), ['app', 'browser']);
  t.like(body.removed_identities[0], removed);
  t.like(body.apps[0], { client_id: client.client_id, name: 'Notes' });
  t.deepEqual(body.outstanding_links.map(({ purpose }) => purpose).sort(), ['change_email', 'verify_email']);
  const types = body.audit_events.map(({ type }) => type);
  for (const type of ['user.registered', 'login.succeeded', 'login.failed', 'consent.given', 'email.change_requested'])
    t.true(types.includes(type), type);

  const text = JSON.stringify(answer.body);
  const stored = await server.database.pool.query(
    `SELECT password_hash AS secret FROM users UNION ALL SELECT key_hash FROM api_keys
      UNION ALL SELECT token_hash FROM one_time_tokens UNION ALL SELECT session_hash FROM sign_ins`,
  );
  const secrets = [
    ...stored.rows.map(({ secret }) => secret),
    key.body.key,
    tokens.refresh_token,
    tokens.access_token,
    await tokenTo(server, person.email, 'verify_email'),
  ];
  for (const secret of secrets.filter(Boolean)) t.false(text.includes(String(secret)));
});

test('of what somebody else did, who and from where is left out; of what one did to others, the details', async (t) => {
  const [one, admin] = [await signedIn(), await signedIn()];
  await server.audit.record({
    type: 'user.updated',
    actor: admin.id,
    target: one.id,
    details: { before: { role: 'user' }, after: { role: 'admin' } },
  });
  const eventIn = async (auth: Record<string, string>) => {
    const { body } = await rest.get('/users/me/export', auth);
    return (body.audit_events as { type: string }[]).find(({ type }) => type === 'user.updated');
  };
  const seen = await eventIn(one.auth);
  t.deepEqual(Object.keys(seen ?? {}).sort(), ['details', 'seq', 'target', 'time', 'type']);
  t.false(JSON.stringify(seen).includes(admin.id));
  const done = await eventIn(admin.auth);
  t.like(done, { actor: admin.id, target: one.id });
  t.false('details' in (done ?? {}));
});

test('nobody else gets it: no API key, no third-party app', async (t) => {
  const { auth, tokens: _, ...person } = await signedIn();
  const made = await rest.post('/users/api-keys', { name: 'k', scopes: ['read:profile'] }, auth);
  t.is((await rest.get('/users/me/export', { 'X-API-Key': String(made.body.key) })).status, 403);
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { scope: 'openid read:profile' });
  t.is((await rest.get('/users/me/export', bearer(tokens.access_token))).status, 403);
  t.is((await rest.get('/users/me/export')).status, 401);
});

test('the export holds every event, also of a long life, in one piece and in order', async (t) => {
  const { auth, id } = await signedIn();
  await Promise.all(
    Array.from({ length: 1_700 }, (_, n) => server.audit.record({ type: 'logout', target: id, details: { n } })),
  );
  const { status, body } = await rest.get('/users/me/export', auth);
  t.is(status, 200);
  const events = body.audit_events as { seq: number; type: string; details?: { n?: number } }[];
  t.deepEqual(
    events.map(({ seq }) => seq),
    [...new Set(events.map(({ seq }) => seq))].sort((a, b) => b - a),
  );
  const numbers = events.flatMap(({ details }) => details?.n ?? []);
  t.deepEqual(
    numbers.sort((a, b) => a - b),
    Array.from({ length: 1_700 }, (_, n) => n),
  );
  t.deepEqual(
    events.slice(-2).map(({ type }) => type),
    ['login.succeeded', 'user.registered'],
  );
});
