import test from 'ava';
import { linkTo, mailsTo, tokenTo } from '../helpers/mailbox.ts';
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
  const email = `forgets${++count}@example.com`;
  const { body } = await rest.post('/auth/register', { email, password: 'secret1' });
  const tokens = (await rest.post('/auth/login', { email, password: 'secret1' })).body;
  return {
    id: String(body.id),
    email,
    auth: bearer(tokens.access_token),
    refresh: tokens.refresh_token,
  };
};
const forgot = (email: string) => rest.post('/auth/forgot-password', { email });
const reset = (token: string, password = 'changed1') =>
  rest.post('/auth/reset-password', { token, new_password: password });
const sql = (text: string, values: unknown[] = []) => server.database.pool.query(text, values);
const asked = async () => {
  const person = await signedIn();
  await forgot(person.email);
  return { ...person, token: await tokenTo(server, person.email, 'reset_password') };
};

test('a reset token sets a new password, ends every session and token, leaves API keys, and a mail says so', async (t) => {
  const { id, email, auth, refresh, token } = await asked();
  await sql('UPDATE users SET email_verified = true, holder_proven = true WHERE id = $1', [id]);
  const key = await rest.post('/users/api-keys', { name: 'service' }, auth);
  const link = await linkTo(server, email, 'reset_password');
  t.is(link.origin + link.pathname, `${server.issuer}/reset-password`);
  t.is((await reset(token)).status, 204);
  t.is((await rest.get('/users/me', auth)).status, 401);
  t.is((await rest.post('/auth/refresh', { refresh_token: refresh })).status, 401);
  t.is((await rest.post('/auth/login', { email, password: 'secret1' })).status, 401);
  t.is((await rest.post('/auth/login', { email, password: 'changed1' })).status, 200);
  const byKey = await rest.get('/users/me', { 'X-API-Key': String(key.body.key) });
  t.is(byKey.status, 200);
  t.is((await mailsTo(server, email))[0]?.template, 'password_changed');
});

test('who proves an address for the first time finds nothing in the account that others have left there', async (t) => {
  const { email, auth, token } = await asked();
  const key = await rest.post('/users/api-keys', { name: 'left behind' }, auth);
  t.is((await reset(token)).status, 204);
  t.is((await rest.get('/users/me', { 'X-API-Key': String(key.body.key) })).status, 401);
  const { body } = await rest.post('/auth/login', { email, password: 'changed1' });
  const me = await rest.get('/users/me', { authorization: `Bearer ${body.access_token}` });
  t.true(me.body.email_verified, 'the link proved the address');
});

test('a new password calls off a change of address that was asked for before', async (t) => {
  const { id, email, auth, token } = await asked();
  await rest.put('/users/me', { email: 'attacker@example.com', current_password: 'secret1' }, auth);
  const change = await tokenTo(server, 'attacker@example.com', 'confirm_email_change');
  t.is((await reset(token)).status, 204);
  t.is((await rest.post('/auth/verify-email', { token: change })).status, 422);
  const { rows } = await sql('SELECT email, pending_email FROM users WHERE id = $1', [id]);
  t.deepEqual(rows, [{ email, pending_email: null }]);
});

test('of 100 redemptions of one token at once, one succeeds', async (t) => {
  const { email, token } = await asked();
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => reset(token, `changed${i}`)));
  t.is(answers.filter(({ status }) => status === 204).length, 1);
  t.true(answers.every(({ status, body }) => status === 204 || body.code === 'invalid_one_time_token'));
  const holds = answers.findIndex(({ status }) => status === 204);
  t.is((await rest.post('/auth/login', { email, password: `changed${holds}` })).status, 200);
});

test('unknown, spent, expired and replaced tokens are refused in the same words', async (t) => {
  const spent = await asked();
  await reset(spent.token);
  const expired = await asked();
  await sql('UPDATE one_time_tokens SET expires_at = now() WHERE user_id = $1', [expired.id]);
  const replaced = await asked();
  await forgot(replaced.email);
  const banned = await asked();
  await sql('UPDATE users SET banned_at = now() WHERE id = $1', [banned.id]);
  const moved = await asked();
  await sql(`UPDATE users SET email = 'elsewhere@example.com', email_key = 'elsewhere@example.com' WHERE id = $1`, [
    moved.id,
  ]);
  const unverified = await signedIn();
  const other = await tokenTo(server, unverified.email, 'verify_email');
  const tokens = [spent, expired, replaced, banned, moved].map(({ token }) => token);
  for (const token of [...tokens, other, 'made-up', 'a\0b', '\ud800']) {
    const { status, body } = await reset(token);
    t.is(status, 422);
    t.is(body.code, 'invalid_one_time_token');
    t.is(body.detail, 'This link or token is not valid: it is too old, or was used already');
  }
  t.is((await reset(await tokenTo(server, replaced.email, 'reset_password'))).status, 204, 'the newest one works');
});

test('a password that is not good enough is refused, and the token still works', async (t) => {
  const { token } = await asked();
  const refused = await reset(token, 'five5');
  t.is(refused.status, 422);
  t.is(refused.body.code, 'password_too_short');
  t.is((await reset(token, 'x'.repeat(257))).body.code, 'password_too_long');
  t.is((await reset(token)).status, 204);
});

test('a reset token lives for half an hour, and is nowhere in the database', async (t) => {
  const { id, token } = await asked();
  const { rows } = await sql(
    `SELECT extract(epoch FROM expires_at - created_at) AS seconds, row_to_json(o)::text AS row FROM one_time_tokens o
      WHERE user_id = $1 AND purpose = 'reset_password'`,
    [id],
  );
  t.is(rows.length, 1);
  t.true(Math.abs(Number(rows[0].seconds) - 1800) < 5);
  t.false(rows[0].row.includes(token));
  const mails = await sql('SELECT string_agg(sealed, $1) AS all FROM outgoing_mails', [' ']);
  t.false(mails.rows[0].all.includes(token));
});

/** How many rows there are of what a request could leave behind. */
const written = async () => {
  const counts = await sql(
    `SELECT (SELECT count(*) FROM one_time_tokens) AS tokens, (SELECT count(*) FROM outgoing_mails) AS mails,
            (SELECT count(*) FROM audit_events) AS events`,
  );
  const { tokens, mails, events } = counts.rows[0];
  return { tokens: Number(tokens), mails: Number(mails), events: Number(events) };
};

test.serial(
  'asking for a reset answers and writes the same for an account, none, a banned one and a name',
  async (t) => {
    const known = await signedIn();
    const banned = await signedIn();
    await sql('UPDATE users SET banned_at = now() WHERE id = $1', [banned.id]);
    await rest.post('/auth/register', { email: 'named@example.com', password: 'secret1', username: 'forgetful' });
    const addresses = [
      known.email,
      'nobody@example.com',
      banned.email,
      'forgetful',
      'no address at all',
      'a\0b@example.com',
    ];
    for (const email of addresses) {
      const before = await written();
      const { status, body } = await forgot(email);
      const after = await written();
      t.is(status, 202, email);
      t.deepEqual(body, { detail: 'If there is such an account, a mail is on its way to it.' });
      t.deepEqual(
        {
          tokens: after.tokens - before.tokens,
          mails: after.mails - before.mails,
          events: after.events - before.events,
        },
        { tokens: 1, mails: 1, events: 1 },
        email,
      );
    }
    t.is((await mailsTo(server, known.email))[0]?.template, 'reset_password');
    t.is((await mailsTo(server, 'nobody@example.com')).length, 0);
    t.deepEqual(
      (await mailsTo(server, banned.email)).map(({ template }) => template),
      ['verify_email'],
    );
  },
);

test('expired tokens are swept, live ones stay', async (t) => {
  const [live, old] = [await asked(), await asked()];
  await sql(`UPDATE one_time_tokens SET expires_at = now() - interval '1 second' WHERE user_id = $1`, [old.id]);
  t.true((await server.stores.oneTimeTokens.sweep(1_000)) >= 1);
  const left = await sql('SELECT user_id FROM one_time_tokens WHERE user_id = ANY ($1)', [[live.id, old.id]]);
  t.true(left.rows.length > 0 && left.rows.every(({ user_id }) => user_id === live.id));
});

for (const [path, body, paths] of [
  ['/auth/forgot-password', {}, ['email']],
  ['/auth/forgot-password', { email: 1, more: 1 }, ['email', 'more']],
  ['/auth/reset-password', { token: 'x' }, ['new_password']],
  ['/auth/reset-password', { token: '', new_password: 'x'.repeat(2000) }, ['new_password', 'token']],
  ['/auth/verify-email', { token: ['x'] }, ['token']],
  ['/auth/resend-verification', { email: '' }, ['email']],
] as const)
  test(`${path} names every path that is wrong in ${JSON.stringify(body).slice(0, 60)}`, async (t) => {
    const answer = await rest.post(path, body);
    t.is(answer.status, 422);
    t.deepEqual((answer.body.errors as { path: string }[]).map((e) => e.path).sort(), [...paths]);
  });
