// What the links in mails lead to, as a person without JavaScript finds it.
import test from 'ava';
import { createBrowser, type Visited } from '../helpers/browser.ts';
import { linkTo, mailsTo } from '../helpers/mailbox.ts';
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
const person = async () => {
  const email = `reader${++count}@example.com`;
  const { body } = await rest.post('/auth/register', { email, password: 'secret1' });
  return { id: String(body.id), email };
};
const resetPage = async () => {
  const one = await person();
  await rest.post('/auth/forgot-password', { email: one.email });
  const browser = createBrowser(server.issuer);
  const link = await linkTo(server, one.email, 'reset_password');
  return { ...one, browser, link, page: await browser.go(link) };
};
const logsIn = async (email: string, password: string) =>
  (await rest.post('/auth/login', { email, password })).status === 200;
const verified = async (id: string) =>
  (await server.database.pool.query('SELECT email_verified FROM users WHERE id = $1', [id])).rows[0].email_verified;
const text = ({ html }: Visited) => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');

test('who forgot their password gets from the sign-in page to a new one, and back to the app they came from', async (t) => {
  const { email } = await person();
  const browser = createBrowser(server.issuer);
  const login = await browser.go('/login');
  const href = /id="forgot-password"/.test(login.html) && /href="([^"]+)" id="forgot-password"/.exec(login.html)?.[1];
  const form = await browser.go(String(href));
  t.is(form.status, 200);
  const sent = await browser.submit(form, 'send-link', { email });
  t.is(sent.status, 200);
  t.regex(text(sent), /Check your mail/);
  t.is(/href="([^"]+)" id="back"/.exec(sent.html)?.[1], login.url.pathname);

  const page = await browser.go(await linkTo(server, email, 'reset_password'));
  t.true(page.html.includes(email));
  const done = await browser.submit(page, 'set-password', { new_password: 'changed1', repeated: 'changed1' });
  t.is(done.status, 200);
  t.regex(done.html, /id="sign-in-link" href="\/login"/);
  const back = await browser.go(login.url);
  const there = await browser.submit(back, 'sign-in', { login: email, password: 'changed1' });
  t.is(there.url.pathname, '/account');
});

test('the page that asks for an address answers alike whether or not it is known', async (t) => {
  const { email } = await person();
  const browser = createBrowser(server.issuer);
  for (const path of ['/forgot-password', '/resend-verification']) {
    const answers = [];
    for (const address of [email, 'nobody@example.com']) {
      const answer = await browser.submit(await browser.go(path), 'send-link', { email: address });
      t.is(answer.status, 200);
      answers.push(answer.html.replaceAll(address, 'ADDRESS'));
    }
    t.is(answers[0], answers[1]);
    for (const wrong of ['', ' ', 'a'.repeat(400)]) {
      const refused = await browser.submit(await browser.go(path), 'send-link', { email: wrong });
      t.is(refused.status, 400);
      t.regex(refused.html, /role="alert" id="email-error"/);
    }
  }
});

test('what is wrong with a new password keeps the form, the token, and no password', async (t) => {
  const { browser, page, email } = await resetPage();
  for (const [new_password, repeated, words] of [
    ['changed1', 'changed2', /not the same/],
    ['five5', 'five5', /too short/],
    ['x'.repeat(300), 'x'.repeat(300), /too long/],
    ['', '', /too short/],
  ] as const) {
    const refused = await browser.submit(page, 'set-password', { new_password, repeated });
    t.is(refused.status, 400);
    t.regex(refused.html, words);
    t.regex(refused.html, /<title>Error: /);
    t.false(new_password !== '' && refused.html.includes(new_password));
    t.regex(refused.html, /id="set-password"/);
  }
  t.true(await logsIn(email, 'secret1'));
  t.is((await browser.submit(page, 'set-password', { new_password: 'changed1', repeated: 'changed1' })).status, 200);
  t.true(await logsIn(email, 'changed1'));
});

test('following a link changes nothing and spends nothing; the button does', async (t) => {
  const { id, email } = await person();
  const link = await linkTo(server, email, 'verify_email');
  const scanner = createBrowser(server.issuer);
  for (let i = 0; i < 3; i += 1) t.is((await scanner.go(link)).status, 200);
  t.is((await scanner.go(link, { method: 'HEAD' })).status, 200);
  t.false(await verified(id));
  const browser = createBrowser(server.issuer);
  const page = await browser.go(link);
  t.true(page.html.includes(email));
  t.is((await browser.submit(page, 'prove', { password: 'secret1' })).status, 200);
  t.true(await verified(id));
});

test('a link that is spent, expired or made up says so, and offers a new one', async (t) => {
  const { browser, page, link, id } = await resetPage();
  await server.database.pool.query('UPDATE one_time_tokens SET expires_at = now() WHERE user_id = $1', [id]);
  const verify = new URL(await linkTo(server, (await person()).email, 'verify_email'));
  const verifyPage = await browser.go(verify);
  await browser.submit(verifyPage, 'prove', { password: 'secret1' });
  const answers: [Visited, string | undefined][] = [
    [await browser.go(link), '/forgot-password'],
    [
      await browser.submit(page, 'set-password', { new_password: 'changed1', repeated: 'changed1' }),
      '/forgot-password',
    ],
    [await browser.go('/reset-password'), '/forgot-password'],
    [await browser.go('/reset-password?token=made-up&token=twice'), '/forgot-password'],
    [await browser.go(verify), '/resend-verification'],
    [await browser.submit(verifyPage, 'prove', { password: 'secret1' }), '/resend-verification'],
    [await browser.go('/verify-email?token=a%00b'), '/resend-verification'],
    [await browser.go('/confirm-email?token=made-up'), undefined],
  ];
  for (const [answer, href] of answers) {
    t.is(answer.status, 400, answer.url.pathname);
    t.regex(text(answer), /This link no longer works/);
    t.is(/id="ask-again" href="([^"]+)"/.exec(answer.html)?.[1], href);
  }
});

test('pages whose address holds a token tell no referrer, and are not stored', async (t) => {
  const { page, email, browser } = await resetPage();
  const verify = await browser.go(await linkTo(server, email, 'verify_email'));
  for (const answer of [page, verify, await browser.go('/confirm-email?token=x')]) {
    t.is(answer.headers.get('referrer-policy'), 'no-referrer');
    t.is(answer.headers.get('cache-control'), 'no-store');
  }
});

test('the forms need the token and the cookie of the browser they were made for', async (t) => {
  const { browser, page, email } = await resetPage();
  const passwords = { new_password: 'changed1', repeated: 'changed1' };
  const ask = await browser.go('/forgot-password');
  const prove = await browser.go(await linkTo(server, email, 'verify_email'));
  const before = (await mailsTo(server, email)).length;
  for (const [form, button, fields] of [
    [page, 'set-password', passwords],
    [ask, 'send-link', { email }],
    [prove, 'prove', {}],
  ] as const) {
    t.is((await browser.submit(form, button, { ...fields, csrf: 'wrong' })).status, 403, button);
    t.is((await createBrowser(server.issuer).submit(form, button, fields)).status, 403, button);
    const foreign = { headers: { origin: 'https://evil.example' } };
    t.is((await browser.submit(form, button, fields, foreign)).status, 403, button);
    const crossSite = { headers: { 'sec-fetch-site': 'cross-site', origin: 'null' } };
    t.is((await browser.submit(form, button, fields, crossSite)).status, 403, button);
  }
  t.is((await mailsTo(server, email)).length, before, 'nothing was mailed');
  t.true(await logsIn(email, 'secret1'));
  // As browsers send a form of a page that tells no referrer.
  const hidden = { headers: { origin: 'null', 'sec-fetch-site': 'same-origin' } };
  t.is((await browser.submit(ask, 'send-link', { email }, hidden)).status, 403, 'a page that has a referrer');
  t.is((await browser.submit(page, 'set-password', passwords, hidden)).status, 200);
});

test('no token gets into the log', async (t) => {
  const { browser, page, link } = await resetPage();
  await browser.submit(page, 'set-password', { new_password: 'changed1', repeated: 'changed1' });
  const token = link.searchParams.get('token') ?? '';
  t.is(token.length, 43);
  t.false(server.log().includes(token));
});

test('the pages speak Chinese too', async (t) => {
  const { link } = await resetPage();
  const browser = createBrowser(server.issuer, { 'accept-language': 'zh-CN' });
  const page = await browser.go(link);
  t.regex(page.html, /设置新密码/);
  const done = await browser.submit(page, 'set-password', { new_password: 'changed1', repeated: 'changed1' });
  t.regex(done.html, /新密码已设置/);
});
