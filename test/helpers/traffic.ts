// People at work: they register, sign in by API and by browser, ask who they are and refresh, for as long as a test likes. What the
// service has acknowledged is kept, to be asked for afterwards; what it refused is a failure.
import { setTimeout as sleep } from 'node:timers/promises';
import { createBrowser } from './browser.ts';

export const TRAFFIC_CLIENT = {
  OAUTH_CLIENT_ID: 'traffic',
  OAUTH_CLIENT_SECRET: 'w8Zq3nVd6RtY1kLp',
  OAUTH_REDIRECT_URIS: 'https://traffic.example/callback',
};
const PASSWORD = 'a password for traffic';

type Person = {
  email: string;
  sub: string;
  idToken: string;
  accessToken: string;
  refreshToken: string;
  apiRefreshToken: string;
};

const wait = async (done: () => boolean, whileMs: number): Promise<void> => {
  for (const deadline = Date.now() + whileMs; !done() && Date.now() < deadline; ) await sleep(10);
};

/** @param origin Where the service is. */
export const createTraffic = (origin: string, name = 'somebody') => {
  const people: Person[] = [];
  const failures: string[] = [];
  let serial = 0;
  let running = true;
  let workers: Promise<void>[] = [];

  const expect = async (step: string, status: number, response: Response): Promise<Record<string, string>> => {
    const text = await response.text();
    if (response.status !== status) throw new Error(`${step}: ${response.status} ${text.slice(0, 300)}`);
    return JSON.parse(text || '{}');
  };
  const api = async (path: string, body: unknown, status = 200) =>
    expect(
      `POST ${path}`,
      status,
      await fetch(`${origin}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    );
  const get = async (path: string, token: string) =>
    expect(`GET ${path}`, 200, await fetch(`${origin}${path}`, { headers: { authorization: `Bearer ${token}` } }));
  const token = async (fields: Record<string, string>) => {
    const { OAUTH_CLIENT_ID: client_id, OAUTH_CLIENT_SECRET: client_secret } = TRAFFIC_CLIENT;
    const body = new URLSearchParams({ client_id, client_secret, ...fields });
    return expect(`token by ${fields.grant_type}`, 200, await fetch(`${origin}/oauth/token`, { method: 'POST', body }));
  };

  const throughTheBrowser = async (email: string) => {
    const redirect_uri = TRAFFIC_CLIENT.OAUTH_REDIRECT_URIS;
    const query = new URLSearchParams({
      client_id: TRAFFIC_CLIENT.OAUTH_CLIENT_ID,
      response_type: 'code',
      redirect_uri,
      scope: 'openid email offline_access',
      prompt: 'consent',
    });
    const browser = createBrowser(origin);
    const consent = await browser.submit(await browser.go(`/oauth/authorize?${query}`), 'sign-in', {
      login: email,
      password: PASSWORD,
    });
    const code = (await browser.submit(consent, 'allow')).url.searchParams.get('code');
    if (code === null) throw new Error('no code');
    return token({ grant_type: 'authorization_code', code, redirect_uri });
  };

  const must = (values: Record<string, string>, name: string): string => {
    const value = values[name];
    if (!value) throw new Error(`no ${name}`);
    return value;
  };

  /** Refreshes both ways, and asks who it is. */
  const goOn = async (person: Person): Promise<void> => {
    const fresh = await token({ grant_type: 'refresh_token', refresh_token: person.refreshToken });
    person.refreshToken = must(fresh, 'refresh_token');
    person.accessToken = must(fresh, 'access_token');
    const { sub } = await get('/oauth/userinfo', person.accessToken);
    if (sub !== person.sub) throw new Error(`userinfo says ${sub}`);
    const pair = await api('/auth/refresh', { refresh_token: person.apiRefreshToken });
    person.apiRefreshToken = must(pair, 'refresh_token');
    await get('/users/me', must(pair, 'access_token'));
  };

  const arrive = async (): Promise<Person> => {
    serial += 1;
    const email = `${name}-${serial}@traffic.example`;
    const { id } = await api('/auth/register', { email, password: PASSWORD }, 201);
    const pair = await api('/auth/login', { email, password: PASSWORD });
    const tokens = await throughTheBrowser(email);
    return {
      email,
      sub: id ?? '',
      idToken: must(tokens, 'id_token'),
      accessToken: must(tokens, 'access_token'),
      refreshToken: must(tokens, 'refresh_token'),
      apiRefreshToken: must(pair, 'refresh_token'),
    };
  };

  let journeys = 0;
  const work = async (): Promise<void> => {
    while (running)
      try {
        const person = await arrive();
        await goOn(person);
        await goOn(person);
        people.push(person);
        journeys += 1;
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
        await sleep(50);
      }
  };

  return {
    people,
    failures,
    start(count: number): void {
      workers = Array.from({ length: count }, work);
    },
    /** Waits until so many more have arrived and gone on. @throws as soon as anything was refused. */
    async passed(more: number): Promise<void> {
      const target = journeys + more;
      await wait(() => journeys >= target || failures.length > 0, 60_000);
      if (failures.length > 0) throw new Error(`refused: ${failures.slice(0, 3).join('; ')}`);
      if (journeys < target) throw new Error(`${journeys} of ${target} journeys in a minute`);
    },
    async stop(): Promise<void> {
      running = false;
      await Promise.all(workers);
    },
    /** Who of them is not there any more, with all they hold; everybody who was acknowledged, unless they are named. */
    async lost(of: Person[] = people): Promise<string[]> {
      const lost: string[] = [];
      for (const person of of)
        await goOn(person)
          .then(() => api('/auth/login', { email: person.email, password: PASSWORD }))
          .catch((error: Error) => lost.push(`${person.email}: ${error.message}`));
      return lost;
    },
  };
};

export type Traffic = ReturnType<typeof createTraffic>;
