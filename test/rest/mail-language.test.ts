// Mails come in the language of who they are for: the one they have chosen, or else the one their browser asks for.
import test from 'ava';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

const inLanguage = (language: string) => ({ 'accept-language': language });
const localesTo = async (email: string) =>
  (await server.mail.kept()).filter(({ to }) => to.email === email).map(({ to }) => to.locale);

for (const [asked, kept] of [
  ['zh-CN,zh;q=0.9,en;q=0.8', 'zh-CN'],
  ['zh-Hans-CN', 'zh-CN'],
  ['en-GB', 'en'],
  ['fr-FR, zh;q=0.5', 'zh-CN'],
  ['fr-FR', undefined],
  ['*', undefined],
] as const)
  test(`who registers asking for ${asked} is written to in ${kept ?? 'English'} from then on`, async (t) => {
    const email = `${asked.replace(/\W/g, '') || 'any'}@example.com`;
    const { body } = await rest.post('/auth/register', { email, password: 'secret1' }, inLanguage(asked));
    t.is(body.locale, kept);
    // Without a language of its own: by a program, say.
    await rest.post('/auth/forgot-password', { email }, inLanguage('*'));
    t.deepEqual(await localesTo(email), [kept ?? null, kept ?? null]);
  });

test('an account that has chosen no language is written to in the one that is asked for', async (t) => {
  const email = 'undecided@example.com';
  await server.accounts.create({ email, password: 'secret1' });
  await rest.post('/auth/forgot-password', { email }, inLanguage('zh-CN'));
  await rest.post('/auth/resend-verification', { email }, inLanguage('en'));
  t.deepEqual(await localesTo(email), ['en', 'zh-CN']);
});

test('an account’s own language goes before the one that is asked for', async (t) => {
  const email = 'decided@example.com';
  await server.accounts.create({ email, password: 'secret1', profile: { locale: 'zh-CN' } });
  await rest.post('/auth/forgot-password', { email }, inLanguage('en'));
  t.deepEqual(await localesTo(email), ['zh-CN']);
});
