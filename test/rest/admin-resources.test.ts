import test from 'ava';
import { KEY_SCOPES } from '../../src/domain/claims.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;
let admin: Record<string, string>;
let user: Record<string, string>;

const signedIn = async (name: string, role: string) => {
  const email = `${name}@example.com`;
  const { id } = await server.accounts.create({ email, password: 'secret1' });
  await server.database.pool.query('UPDATE users SET role = $2 WHERE id = $1', [id, role]);
  return bearer((await rest.post('/auth/login', { email, password: 'secret1' })).body.access_token);
};

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
  admin = await signedIn('admin', 'admin');
  user = await signedIn('user', 'user');
});
test.after.always(() => server?.close());

const NOTES = {
  identifier: 'https://api.example/notes',
  name: 'Notes',
  scopes: [{ name: 'notes:read', description: { en: 'Read your notes' } }],
  default_scopes: ['notes:read'],
};
const one = (identifier: string) => `/admin/resources/one?identifier=${encodeURIComponent(identifier)}`;

test('a resource is registered, shown, listed, replaced whole and removed, each on record', async (t) => {
  const made = await rest.post('/admin/resources', NOTES, admin);
  t.is(made.status, 201);
  t.like(made.body, { ...NOTES, token_format: 'jwt', access_token_ttl_seconds: 1800, introspection_clients: [] });
  t.is((await rest.get(one('https://API.example/notes'), admin)).body.identifier, NOTES.identifier);
  const { body: list } = await rest.get('/admin/resources?limit=1', admin);
  t.is((list.items as unknown[]).length, 1);

  const { identifier: _, ...changed } = { ...NOTES, name: 'Better notes', default_scopes: [] };
  const replaced = await rest.put(one(NOTES.identifier), changed, admin);
  t.like(replaced.body, { name: 'Better notes', default_scopes: [] });
  t.is((await rest.delete(one(NOTES.identifier), undefined, admin)).status, 204);
  t.is((await rest.get(one(NOTES.identifier), admin)).status, 404);
  const { body } = await rest.get(`/admin/audit?target=${encodeURIComponent(NOTES.identifier)}`, admin);
  t.deepEqual(
    (body.items as { type: string }[]).map(({ type }) => type),
    ['resource.deleted', 'resource.updated', 'resource.created'],
  );
});

test('what does not fit is refused, and nothing is registered', async (t) => {
  const refused: [Record<string, unknown>, number][] = [
    [{ identifier: 'notes' }, 422],
    [{ identifier: 'https://api.example/#part' }, 422],
    [{ identifier: 'https://user:secret@api.example/' }, 422],
    [{ identifier: `${server.issuer}/` }, 409],
    [{ identifier: server.issuer }, 409],
    [{ scopes: [{ name: 'openid', description: { en: 'x' } }] }, 422],
    [{ scopes: [{ name: 'two words', description: { en: 'x' } }] }, 422],
    [{ scopes: [NOTES.scopes[0], NOTES.scopes[0]] }, 422],
    [{ default_scopes: ['notes:write'] }, 422],
    [{ token_format: 'opaque', signing_alg: 'ES256' }, 422],
    [{ signing_alg: 'HS256' }, 422],
    [{ signing_alg: 'none' }, 422],
    [{ access_token_ttl_seconds: 59 }, 422],
    [{ access_token_ttl_seconds: 86_401 }, 422],
    [{ surprise: 1 }, 422],
    [{ name: '\0' }, 422],
  ];
  for (const [change, status] of refused) {
    const answer = await rest.post(
      '/admin/resources',
      { ...NOTES, identifier: 'https://x.example/', ...change },
      admin,
    );
    t.is(answer.status, status, JSON.stringify(change));
  }
  t.is((await rest.get(one('https://x.example/'), admin)).status, 404);
});

test('one identifier is registered once, in whatever spelling, by however many at once', async (t) => {
  const answers = await Promise.all(
    ['https://race.example', 'https://race.example/', 'https://RACE.example/', 'https://race.example:443/'].map(
      (identifier) => rest.post('/admin/resources', { ...NOTES, identifier }, admin),
    ),
  );
  t.deepEqual(answers.map(({ status }) => status).sort(), [201, 409, 409, 409]);
});

test('a type of details is one resource’s alone, of however many that claim it at once', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const type = {
      type: `raced-${round}`,
      description: { en: 'A race' },
      fields: [{ name: 'amount', label: { en: 'Amount' }, required: true, max_length: 40 }],
    };
    const answers = await Promise.all(
      Array.from({ length: 4 }, (_, index) =>
        rest.post(
          '/admin/resources',
          { ...NOTES, identifier: `https://race-${round}-${index}.example/`, authorization_details_types: [type] },
          admin,
        ),
      ),
    );
    t.deepEqual(answers.map(({ status }) => status).sort(), [201, 422, 422, 422]);
  }
});

test('resources are an administrator’s business alone', async (t) => {
  t.true((KEY_SCOPES as readonly string[]).includes('write:resources'));
  for (const [headers, status] of [
    [user, 403],
    [{}, 401],
  ] as const) {
    t.is((await rest.get('/admin/resources', headers)).status, status);
    t.is((await rest.get(one(NOTES.identifier), headers)).status, status);
    t.is((await rest.post('/admin/resources', NOTES, headers)).status, status);
    t.is((await rest.put(one(NOTES.identifier), {}, headers)).status, status);
    t.is((await rest.delete(one(NOTES.identifier), undefined, headers)).status, status);
  }
});
