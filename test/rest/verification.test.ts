import test from 'ava';
import { linkTo, mailsTo, tokenTo } from '../helpers/mailbox.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

let count = 0;
const registered = async () => {
  const email = `new${++count}@example.com`;
  const { body } = await rest.post('/auth/register', { email, password: 'secret1' });
  return { id: String(body.id), email, token: await tokenTo(server, email, 'verify_email') };
};
const verify = (token: string) => rest.post('/auth/verify-email', { token });
const resend = (email: string) => rest.post('/auth/resend-verification', { email });
const sql = (text: string, values: unknown[] = []) => server.database.pool.query(text, values);
const isVerified = async (id: string) =>
  (await sql('SELECT email_verified FROM users WHERE id = $1', [id])).rows[0].email_verified;

test('registering sends a link that proves the address, once, within 48 hours', async (t) => {
  const { id, email, token } = await registered();
  const link = await linkTo(server, email, 'verify_email');
  t.is(link.origin + link.pathname, `${server.issuer}/verify-email`);
  const { rows } = await sql(
    'SELECT extract(epoch FROM expires_at - created_at) AS s FROM one_time_tokens WHERE user_id = $1',
    [id],
  );
  t.true(Math.abs(Number(rows[0].s) - 172_800) < 5);
  t.false(await isVerified(id));
  t.is((await verify(token)).status, 204);
  t.true(await isVerified(id));
  t.is((await verify(token)).body.code, 'invalid_one_time_token');
});

test('of 100 redemptions at once, one succeeds', async (t) => {
  const { token } = await registered();
  const answers = await Promise.all(Array.from({ length: 100 }, () => verify(token)));
  t.is(answers.filter(({ status }) => status === 204).length, 1);
  t.is(answers.filter(({ body }) => body.code === 'invalid_one_time_token').length, 99);
});

test('an expired token, one of a banned user, and one for a former address prove nothing', async (t) => {
  const [expired, banned, moved] = [await registered(), await registered(), await registered()];
  await sql('UPDATE one_time_tokens SET expires_at = now() WHERE user_id = $1', [expired.id]);
  await sql('UPDATE users SET banned_at = now() WHERE id = $1', [banned.id]);
  await sql(`UPDATE users SET email = 'moved@example.com', email_key = 'moved@example.com' WHERE id = $1`, [moved.id]);
  for (const { id, token } of [expired, banned, moved]) {
    t.is((await verify(token)).status, 422);
    t.false(await isVerified(id));
  }
  await rest.post('/auth/forgot-password', { email: 'moved@example.com' });
  t.is((await verify(await tokenTo(server, 'moved@example.com', 'reset_password'))).status, 422, 'a reset token');
});

test('asking again sends a new link, and the older one ends', async (t) => {
  const { id, email, token } = await registered();
  t.is((await resend(email)).status, 202);
  t.is((await verify(token)).status, 422);
  t.is((await verify(await tokenTo(server, email, 'verify_email'))).status, 204);
  t.true(await isVerified(id));
});

test.serial('asking again answers and writes the same for a proven account, none, and a banned one', async (t) => {
  const [open, proven, banned] = [await registered(), await registered(), await registered()];
  await verify(proven.token);
  // Proven by who signs in to it: an address that was only verified may still be proven by its holder.
  await sql('UPDATE users SET holder_proven = true WHERE id = $1', [proven.id]);
  await sql('UPDATE users SET banned_at = now() WHERE id = $1', [banned.id]);
  const rows = async () => {
    const counted = await sql(
      `SELECT (SELECT count(*) FROM outgoing_mails)::int AS mails,
              (SELECT count(*) FROM one_time_tokens WHERE user_id IS NULL)::int AS nobodys`,
    );
    return counted.rows[0];
  };
  for (const email of [open.email, proven.email, banned.email, 'nobody@example.com']) {
    const before = await rows();
    const { status, body } = await resend(email);
    const after = await rows();
    t.is(status, 202);
    t.deepEqual(body, { detail: 'If there is such an account, a mail is on its way to it.' });
    t.is(after.mails - before.mails, 1, email);
    t.is(after.nobodys - before.nobodys, email === open.email ? 0 : 1, email);
  }
  for (const { email } of [proven, banned]) t.is((await mailsTo(server, email)).length, 1);
});
