import test from 'ava';
import { createPeople } from '../helpers/people.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let people: ReturnType<typeof createPeople>;
let admin: Record<string, string>;

test.before(async () => {
  server = await startServer();
  people = createPeople(server);
  admin = (await people.person('admin')).auth;
});
test.after.always(() => server?.close());

type Event = { seq: number; time: string; type: string; actor?: string; target?: string; client?: string };
const read = async (query: Record<string, string> = {}, auth = admin) => {
  const { status, body } = await people.rest.get(`/admin/audit?${new URLSearchParams(query)}`, auth);
  return { status, body, items: body.items as Event[], next: body.next_cursor as string | null };
};

test('events are found by what, who, whom, through which app and when', async (t) => {
  for (const [type, actor, target, client] of [
    ['user.banned', 'ada', 'bob', 'app-1'],
    ['user.banned', 'ada', 'eve', 'app-2'],
    ['user.unbanned', 'grace', 'bob', 'app-1'],
  ] as const)
    await server.audit.record({ type, actor, target, client });
  const found = async (query: Record<string, string>) =>
    (await read(query)).items.map(({ type, actor, target }) => `${type} ${actor} ${target}`);
  t.deepEqual(await found({ type: 'user.banned', actor: 'ada' }), ['user.banned ada eve', 'user.banned ada bob']);
  t.deepEqual(await found({ target: 'bob' }), ['user.unbanned grace bob', 'user.banned ada bob']);
  t.deepEqual(await found({ client: 'app-2' }), ['user.banned ada eve']);
  t.deepEqual(await found({ actor: 'ada', target: 'nobody' }), []);
  const [last, first] = (await read({ target: 'bob' })).items;
  t.deepEqual(await found({ target: 'bob', from: String(last?.time) }), ['user.unbanned grace bob']);
  t.false((await found({ target: 'bob', to: String(last?.time) })).includes('user.unbanned grace bob'));
  // The same moment in another zone.
  const abroad = `${new Date(Date.parse(String(first?.time)) + 3_600_000).toISOString().slice(0, -1)}+01:00`;
  t.true((await found({ target: 'bob', from: abroad })).includes('user.banned ada bob'));
  t.deepEqual(await found({ actor: 'ada', from: '2990-01-01T00:00:00Z' }), []);
});

test('pages go back to the beginning, whatever happens meanwhile', async (t) => {
  for (let n = 0; n < 25; n += 1) await server.audit.record({ type: 'logout', target: `page-${n}`, client: 'pages' });
  const met: (string | undefined)[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await read({ client: 'pages', limit: '10', ...(cursor && { cursor }) });
    met.push(...page.items.map(({ target }) => target));
    cursor = page.next;
    await server.audit.record({ type: 'logout', target: 'meanwhile', client: 'pages' });
  }
  t.deepEqual(
    met,
    Array.from({ length: 25 }, (_, n) => `page-${24 - n}`),
  );
});

test('a cursor that is made up, or of another list, is refused', async (t) => {
  for (let n = 0; n < 3; n += 1) await server.audit.record({ type: 'logout', client: 'forged' });
  const cursor = String((await read({ client: 'forged', limit: '1' })).next);
  const users = String((await people.rest.get('/admin/users?limit=1', admin)).body.next_cursor);
  t.is((await read({ client: 'forged', limit: '2', cursor })).status, 200);
  for (const query of [
    { cursor },
    { client: 'other', cursor },
    { client: 'forged', cursor: '2' },
    { client: 'forged', cursor: `${cursor}x` },
    { cursor: users },
  ]) {
    const { status, body } = await read(query as unknown as Record<string, string>);
    t.is(status, 422, JSON.stringify(query));
    t.deepEqual(body.errors, [{ path: 'cursor', message: 'is not from this list' }]);
  }
});

for (const query of ['limit=0', 'limit=201', 'from=today', 'to=1', 'type=', 'type=%00', 'actor=a&actor=b', 'before=5'])
  test(`the log is not read by ${query}`, async (t) => {
    const { status, body } = await people.rest.get(`/admin/audit?${query}`, admin);
    t.is(status, 422);
    t.is((body.errors as unknown[]).length, 1);
  });

test('reading the log needs read:audit, and says so', async (t) => {
  const user = await people.person();
  for (const auth of [user.auth, await people.key(admin, ['read:users', 'write:users'])]) {
    const answer = await people.rest.get('/admin/audit', auth);
    t.is(answer.status, 403);
    t.regex(answer.headers.get('www-authenticate') ?? '', /scope="read:audit"/);
  }
  t.is((await read({}, {})).status, 401);
  t.is((await read({}, await people.key(admin, ['read:audit']))).status, 200);
});
