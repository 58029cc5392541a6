// Never a half-written change: when the log cannot be written, or the mail cannot be put by, nothing has happened, and the same request
// succeeds as soon as they can.
import test from 'ava';
import { tokenTo } from '../helpers/mailbox.ts';
import { createPeople, PASSWORD } from '../helpers/people.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let people: ReturnType<typeof createPeople>;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer();
  people = createPeople(server);
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

/** As a database that goes down between two statements. */
const refusing = async <T>(table: string, act: () => Promise<T>): Promise<T> => {
  const { pool } = server.database;
  await pool.query(
    `CREATE OR REPLACE FUNCTION refuse_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       RAISE EXCEPTION 'the database system is shutting down' USING ERRCODE = '57P03'; END; $$`,
  );
  await pool.query(
    `CREATE TRIGGER refuse_rows BEFORE INSERT ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_rows()`,
  );
  try {
    return await act();
  } finally {
    await pool.query(`DROP TRIGGER refuse_rows ON ${table}`);
  }
};

const TABLES = ['users', 'api_keys', 'oauth_clients', 'one_time_tokens', 'outgoing_mails', 'audit_events', 'consents'];
/** Everything that is stored. Artifacts of the engine and what a request's own sign-in leaves are not what is changed. */
const stored = async (): Promise<Record<string, unknown[]>> => {
  const dumps = TABLES.map(async (table) => {
    const { rows } = await server.database.pool.query(`SELECT to_jsonb(t) AS row FROM ${table} t ORDER BY t::text`);
    return [table, rows.map(({ row }) => row)] as const;
  });
  return Object.fromEntries(await Promise.all(dumps));
};

type Step = () => Promise<{ status: number; body?: unknown }>;
type Scenario = { prepare: () => Promise<Step>; done: number; mails?: boolean };

let serial = 0;
const fresh = () => `whole-${++serial}@example.com`;
const admin = async () => (await people.person('admin')).auth;
const client = async (auth: Record<string, string>) =>
  (await rest.post('/admin/clients', { redirect_uris: ['https://app.example/cb'] }, auth)).body.client_id;

const SCENARIOS: Record<string, Scenario> = {
  registering: {
    async prepare() {
      const email = fresh();
      return () => rest.post('/auth/register', { email, password: PASSWORD });
    },
    done: 201,
    mails: true,
  },
  'asking for a reset': {
    async prepare() {
      const { email } = await people.person();
      return () => rest.post('/auth/forgot-password', { email });
    },
    done: 202,
    mails: true,
  },
  'asking for a reset of nobody': {
    prepare: async () => () => rest.post('/auth/forgot-password', { email: 'nobody@example.com' }),
    done: 202,
    mails: true,
  },
  'resetting a password': {
    async prepare() {
      const { email } = await people.person();
      await rest.post('/auth/forgot-password', { email });
      const token = await tokenTo(server, email, 'reset_password');
      return () => rest.post('/auth/reset-password', { token, new_password: 'another long password' });
    },
    done: 204,
    mails: true,
  },
  'proving an address': {
    async prepare() {
      const email = fresh();
      await rest.post('/auth/register', { email, password: PASSWORD });
      const token = await tokenTo(server, email, 'verify_email');
      return () => rest.post('/auth/verify-email', { token });
    },
    done: 204,
  },
  'changing an address': {
    async prepare() {
      const { auth } = await people.person();
      const email = fresh();
      return () => rest.put('/users/me', { name: 'Ada', email, current_password: PASSWORD }, auth);
    },
    done: 200,
    mails: true,
  },
  'proving a new address': {
    async prepare() {
      const { auth } = await people.person();
      const email = fresh();
      await rest.put('/users/me', { email, current_password: PASSWORD }, auth);
      const token = (await server.mail.kept()).find(({ to }) => to.email === email)?.message;
      if (!token || !('link' in token)) throw new Error('no link');
      const link = new URL(token.link);
      return () => rest.post('/auth/verify-email', { token: link.searchParams.get('token') });
    },
    done: 204,
    mails: true,
  },
  'making a key': {
    async prepare() {
      const { auth } = await people.person();
      return () => rest.post('/users/api-keys', { name: 'a key' }, auth);
    },
    done: 201,
  },
  'rotating a key': {
    async prepare() {
      const { auth } = await people.person();
      const { body } = await rest.post('/users/api-keys', { name: 'a key' }, auth);
      return () => rest.post(`/users/api-keys/${body.id}/rotate`, {}, auth);
    },
    done: 201,
  },
  'removing a key': {
    async prepare() {
      const { auth } = await people.person();
      const { body } = await rest.post('/users/api-keys', { name: 'a key' }, auth);
      return () => rest.delete(`/users/api-keys/${body.id}`, undefined, auth);
    },
    done: 204,
  },
  'inviting somebody': {
    async prepare() {
      const [auth, email] = [await admin(), fresh()];
      return () => rest.post('/admin/users', { email }, auth);
    },
    done: 201,
    mails: true,
  },
  'changing somebody': {
    async prepare() {
      const [auth, { id }, email] = [await admin(), await people.person(), fresh()];
      return () => rest.put(`/admin/users/${id}`, { email, role: 'admin' }, auth);
    },
    done: 200,
    mails: true,
  },
  'banning somebody': {
    async prepare() {
      const [auth, { id, auth: theirs }] = [await admin(), await people.person()];
      await people.key(theirs, ['read:profile']);
      return () => rest.post(`/admin/users/${id}/ban`, { reason: 'spam' }, auth);
    },
    done: 200,
  },
  'lifting a ban': {
    async prepare() {
      const [auth, { id }] = [await admin(), await people.person()];
      await rest.post(`/admin/users/${id}/ban`, { reason: 'spam' }, auth);
      return () => rest.post(`/admin/users/${id}/unban`, {}, auth);
    },
    done: 200,
  },
  'erasing somebody': {
    async prepare() {
      const [auth, { id }] = [await admin(), await people.person()];
      return () => rest.delete(`/admin/users/${id}`, undefined, auth);
    },
    done: 204,
  },
  'mailing somebody a reset': {
    async prepare() {
      const [auth, { id }] = [await admin(), await people.person()];
      return () => rest.post(`/admin/users/${id}/password-reset`, {}, auth);
    },
    done: 202,
    mails: true,
  },
  'importing somebody': {
    async prepare() {
      const [auth, email] = [await admin(), fresh()];
      return async () => {
        const response = await fetch(`${server.origin}/admin/users/import`, {
          method: 'POST',
          headers: { ...auth, 'content-type': 'application/x-ndjson' },
          body: JSON.stringify({ email }),
        });
        return { status: response.status, body: await response.json() };
      };
    },
    done: 200,
  },
  'registering a client': {
    async prepare() {
      const auth = await admin();
      return () => rest.post('/admin/clients', { redirect_uris: ['https://app.example/cb'] }, auth);
    },
    done: 201,
  },
  'changing a client': {
    async prepare() {
      const auth = await admin();
      const id = await client(auth);
      return () => rest.put(`/admin/clients/${id}`, { redirect_uris: ['https://app.example/other'] }, auth);
    },
    done: 200,
  },
  'rotating the secret of a client': {
    async prepare() {
      const auth = await admin();
      const id = await client(auth);
      return () => rest.post(`/admin/clients/${id}/secret`, {}, auth);
    },
    done: 200,
  },
  'deleting a client': {
    async prepare() {
      const auth = await admin();
      const id = await client(auth);
      return () => rest.delete(`/admin/clients/${id}`, undefined, auth);
    },
    done: 204,
  },
};

for (const [name, { prepare, done, mails = false }] of Object.entries(SCENARIOS))
  for (const table of ['audit_events', ...(mails ? ['outgoing_mails'] : [])])
    test.serial(`${name} without ${table} changes nothing, and succeeds when tried again`, async (t) => {
      const step = await prepare();
      const before = await stored();
      const refused = await refusing(table, step);
      t.is(refused.status, 503, JSON.stringify(refused.body));
      t.deepEqual(await stored(), before);
      const again = await step();
      t.is(again.status, done, JSON.stringify(again.body));
    });

// Whoever changes their own password or leaves shows it first, which is on record by itself: a failed attempt would be as well.
test.serial(
  'changing one’s password without a mail leaves the old one, and everything signed in with it ends with the new one',
  async (t) => {
    const { auth, email } = await people.person();
    const change = { current_password: PASSWORD, new_password: 'another long password' };
    t.is((await refusing('outgoing_mails', () => rest.put('/users/me/password', change, auth))).status, 503);
    const again = await people.login(email);
    t.is((await rest.put('/users/me/password', change, again)).status, 204);
    t.is((await rest.get('/users/me', again)).status, 401);
    t.truthy(await people.login(email, 'another long password'));
  },
);

test.serial('asking to be deleted without a mail leaves the account as it is', async (t) => {
  const { auth } = await people.person();
  const body = { current_password: PASSWORD };
  t.is((await refusing('outgoing_mails', () => rest.delete('/users/me', body, auth))).status, 503);
  t.is((await rest.get('/users/me', auth)).status, 200);
  t.is((await rest.delete('/users/me', body, auth)).status, 204);
});

test.serial('an audit log that was refused in between is whole', async (t) => {
  t.is((await server.audit.verify()).broken, undefined);
});
