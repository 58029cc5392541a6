// Pages that are open, and trips to other providers that are under way: what a browser holds.
import { randomUUID } from 'node:crypto';
import { type Browser, createBrowser, type Visited } from '../../test/helpers/browser.ts';
import { createCalls } from './calls.ts';
import { CALLBACK, PASSWORD } from './known-values.ts';

const hiddenField = (page: Visited, name: string): string =>
  new RegExp(`name="${name}" value="([^"]*)"`).exec(page.html)?.[1] ?? `no-${name}`;
/** What it would send for anything about `uid`; of an earlier page there may be cookies of the same names. */
const cookiesOf = (browser: Browser, uid = ''): string =>
  browser
    .cookies()
    .filter(({ path }) => uid === '' || path === '/' || path.includes(uid))
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ');
const uidOf = (page: Visited): string => page.url.pathname.split('/')[2] ?? 'none';

/** One trip to another provider that is over, with a code to exchange, and one that is just coming back. */
const trips = async (origin: string, known: Map<string, string>): Promise<void> => {
  const wayBack = async (browser: Browser, provider: string): Promise<URL> => {
    const start = `/oauth/${provider}/login?return_to=https://platform.example/signed-in`;
    const there = await browser.go(start, { redirect: 'manual' });
    return (await createBrowser(there.url.origin).go(there.url)).url;
  };
  const arrived = createBrowser(origin);
  const { url } = await arrived.go(await wayBack(arrived, 'acme'));
  known.set('exchange.code', url.searchParams.get('code') ?? 'none');
  const traveller = createBrowser(origin);
  const back = await wayBack(traveller, 'google');
  known
    .set('trip.state', back.searchParams.get('state') ?? 'none')
    .set('trip.code', back.searchParams.get('code') ?? 'none');
  known.set('trip.iss', back.searchParams.get('iss') ?? 'none').set('trip.cookies', cookiesOf(traveller));
};

/** Pages that are open, each in a browser of its own. */
export const pages = async (origin: string, known: Map<string, string>, signedIn: Browser): Promise<void> => {
  const request = new URLSearchParams({
    client_id: known.get('page.id') ?? '',
    response_type: 'code',
    redirect_uri: CALLBACK,
    scope: 'openid email',
    code_challenge: known.get('pkce.challenge') ?? '',
    code_challenge_method: 'S256',
  });
  const stranger = createBrowser(origin);
  const login = await stranger.go(`/oauth/authorize?${request}`);
  known
    .set('login.uid', uidOf(login))
    .set('login.csrf', hiddenField(login, 'csrf'))
    .set('login.cookies', cookiesOf(stranger));
  const account = await signedIn.go('/account');
  known
    .set('account.csrf', hiddenField(account, 'csrf'))
    .set('approval.id', /id="approve-([^"]+)"/.exec(account.html)?.[1] ?? 'none');
  known.set('device.xsrf', hiddenField(await signedIn.go('/device'), 'xsrf'));
  known.set('account.cookies', cookiesOf(signedIn));
  const consent = await signedIn.go(`/oauth/authorize?${request}`);
  known
    .set('consent.uid', uidOf(consent))
    .set('consent.csrf', hiddenField(consent, 'csrf'))
    .set('consent.cookies', cookiesOf(signedIn, uidOf(consent)));
  known.set('logout.xsrf', known.get('device.xsrf') ?? 'none');
  const reader = createBrowser(origin);
  const forgot = await reader.go('/forgot-password');
  await reader.submit(forgot, 'send-link', { email: known.get('user.email') ?? '' });
  known.set('form.csrf', hiddenField(forgot, 'csrf')).set('form.cookies', cookiesOf(reader));
  // Its mail has the other kind of link.
  await createCalls(origin).json('/auth/register', { email: `new-${randomUUID()}@example.com`, password: PASSWORD });
  const mails = await reader.go('/dev/mail');
  for (const [, id = ''] of [...mails.html.matchAll(/\/dev\/mail\/([\w-]{36})/g)].slice(0, 6)) {
    const { html } = await reader.go(`/dev/mail/${id}`);
    const [, kind, token] = /\/(reset-password|verify-email)\?token=([\w.~-]+)/.exec(html) ?? [];
    if (kind && token) known.set('mail.id', id).set(kind === 'verify-email' ? 'mail.verify' : 'mail.token', token);
  }
  await trips(origin, known);
};
