// Sign-ins by browser: an app's code flow through the hosted pages, and a way through another provider.
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBrowser } from '../helpers/browser.ts';
import { has } from './pages.ts';
import type { Person } from './person.ts';
import { CALLBACK, PLATFORM, type World } from './world.ts';

export type AppTokens = { access: string; refresh: string | undefined; losses: number };

/** Whether a page is one of those that tell a person to try again, or to begin anew after Redis was emptied. */
const isSetback = (status: number): boolean => status >= 500 || status === 0 || status === 400;

/** Lets the app use the account: sign-in page, consent page where it has to be asked, code, tokens. */
export const allowApp = async (world: World, person: Person): Promise<AppTokens | undefined> => {
  const { report } = world;
  const losses = world.losses();
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: world.app.clientId,
    redirect_uri: CALLBACK,
    response_type: 'code',
    scope: 'openid email offline_access',
    state: 'a state',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  // Asked again on purpose, for offline access (OIDC Core §11); or not at all, where a consent is there.
  const prompts = !person.consented || Math.random() < 0.6;
  if (prompts) query.set('prompt', 'consent');
  const browser = world.browser();
  let page = await browser.go(`/oauth/authorize?${query}`);
  if (has(page, 'sign-in'))
    page = await browser.submit(page, 'sign-in', { login: person.email, password: person.password });
  const isAsked = has(page, 'allow');
  if (!prompts) report.check('a consent that was given is remembered', !isAsked);
  if (isAsked) page = await browser.submit(page, 'allow');
  const code = page.url.searchParams.get('code');
  if (code === null) {
    const error = page.url.searchParams.get('error');
    const excused = error === 'temporarily_unavailable' || isSetback(page.answer.status) || losses !== world.losses();
    report.check('who signs in gets to the app', excused, `${page.url.pathname} ${page.answer.status} ${error}`);
    return undefined;
  }
  if (isAsked) {
    person.consented = true;
    world.ledger.audited.push({ type: 'consent.given', target: person.id });
  }

  const form = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: verifier };
  const ask = (server = world.pick()) => world.asApp('/oauth/token', form, server);
  if (Math.random() < 0.2) {
    // A code that two have: whoever is first, the other gets nothing, and what the first one got may end (RFC 6749 §4.1.2).
    const both = await Promise.all(world.servers.filter((server) => server.isRunning()).map((server) => ask(server)));
    const served = both.filter(({ status }) => status === 200).length;
    report.check('a code is redeemed once', served <= 1, `${served} times`);
    return undefined;
  }
  const answer = await ask();
  // A code is good once: whether it was spent when the answer was lost, nobody knows.
  if (answer.unknown) return undefined;
  if (answer.status !== 200 && losses !== world.losses()) return undefined;
  if (!report.check('what was acknowledged works: a code', answer.status === 200, answer.text)) return undefined;
  world.idTokens.push(String(answer.body.id_token));
  const { access_token: access, refresh_token: refresh } = answer.body;
  return { access: String(access), refresh: typeof refresh === 'string' ? refresh : undefined, losses };
};

/** Somebody signs in through the upstream provider, by the platform's own door. */
export const signInUpstream = async (world: World): Promise<void> => {
  const losses = world.losses();
  const browser = world.browser();
  const door = await browser.go(`/oauth/acme/login?${new URLSearchParams({ return_to: `${PLATFORM}/signed-in` })}`);
  if (door.url.origin !== world.upstreamOrigin) return;
  // While the provider is dropped its own pages hang as well: who waits there gives up.
  const visit = createBrowser(world.upstreamOrigin).go(door.url);
  const back = await Promise.race([visit.catch(() => undefined), sleep(10_000, undefined, { ref: false })]);
  if (back?.url.origin !== world.issuer) return;
  const { url } = await browser.go(back.url);
  const code = url.origin === PLATFORM ? url.searchParams.get('code') : null;
  if (code === null) return;
  const answer = await world.ask('POST', '/auth/exchange', { json: { code } });
  if (answer.unknown || losses !== world.losses()) return;
  if (
    !world.report.check('what was acknowledged works: a sign-in through a provider', answer.status === 200, answer.text)
  )
    return;
  const again = await world.ask('POST', '/auth/exchange', { json: { code } });
  if (!again.unknown) world.report.check('a code is redeemed once', again.status !== 200, 'at /auth/exchange');
};
