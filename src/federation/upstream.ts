import { OAuth2Tokens } from 'arctic';
import { type ClientSettings, UpstreamError } from './identity.ts';
import { ANYWHERE, isConfidential, type Network, type Reach, within } from './reach.ts';

/** As long as may be: whoever asks us has an answer within five seconds (see `PROVIDER_MS`), and the log is to say what was waited for. */
export const TIMEOUT_MS = 4_100;

export type Ask = (
  url: string | URL,
  init?: { method?: string; headers?: Record<string, string>; body?: URLSearchParams },
) => Promise<{ status: number; text: string; address: string }>;

/**
 * One request: at most 4.1 s and 256 KiB, and never to where a redirect would lead.
 *
 * @param from Who named the address: it is not asked further inside than they are. Anywhere, where the operator did.
 * @throws {UpstreamError} `unavailable`
 */
export const asking =
  (network: Network, from: Reach = ANYWHERE): Ask =>
  async (url, { method, headers, body } = {}) => {
    const target = new URL(url);
    const at = `${target.host}${target.pathname}`;
    if (!isConfidential(target)) throw new UpstreamError('unavailable', `${at} is neither https nor this machine`);
    const asked = {
      ...(method !== undefined && { method }),
      ...(body && { body: String(body) }),
      headers: {
        accept: 'application/json',
        'user-agent': 'user-auth',
        ...(body && { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' }),
        ...headers,
      },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    };
    try {
      return await network.request(target, asked, within(network, from));
    } catch (error) {
      const { code, message, name } = Object(error);
      const why = asked.signal.aborted ? 'TimeoutError' : code || message || name;
      throw new UpstreamError('unavailable', `${at} did not answer (${why})`, { cause: error });
    }
  };

/** The JSON object or array that an answer is. @throws {UpstreamError} `unavailable` */
export const jsonOf = (text: string, from: string): object => {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Told below.
  }
  throw new UpstreamError('unavailable', `${from} answered something that is not JSON`);
};

/** @throws {UpstreamError} `unavailable` for anything but 200 and JSON. */
export const askJson = async (
  ask: Ask,
  url: string | URL,
  init: { headers?: Record<string, string> } = {},
): Promise<object> => {
  const { status, text } = await ask(url, init);
  const { host, pathname } = new URL(url);
  if (status !== 200) throw new UpstreamError('unavailable', `${host}${pathname} answered ${status}`);
  return jsonOf(text, `${host}${pathname}`);
};

/** What a provider says of a code that it did not give, or not for this trip: GitHub has a word of its own. */
const WRONG_CODE: ReadonlySet<string> = new Set(['invalid_grant', 'bad_verification_code']);

const formEncoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1);

/**
 * Exchanges a code. Not by arctic's own request, which waits for ever, reads any amount, and takes the code along where a redirect
 * leads.
 *
 * @param byBasic Shows the client secret by HTTP Basic (RFC 6749 §2.3.1), otherwise in the body.
 * @throws {UpstreamError} `unavailable`, or `refused` when the provider does not take the code: whoever calls back can make one up.
 */
export const redeemCode = async (
  ask: Ask,
  endpoint: string | URL,
  { clientId, clientSecret, redirectUri }: ClientSettings,
  code: string,
  verifier: string,
  byBasic = false,
): Promise<OAuth2Tokens> => {
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    redirect_uri: redirectUri,
    code_verifier: verifier,
    ...(!byBasic && { client_id: clientId, client_secret: clientSecret }),
  });
  const basic = Buffer.from(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`).toString('base64');
  const headers: Record<string, string> = byBasic ? { authorization: `Basic ${basic}` } : {};
  const { status, text } = await ask(endpoint, { method: 'POST', body, headers });
  const { host } = new URL(endpoint);
  const answer = jsonOf(text, `the token endpoint of ${host}`);
  // GitHub says 200 also of what it refuses.
  if (status !== 200 || 'error' in answer) {
    const error = 'error' in answer && /^[\w.-]{1,60}$/.test(String(answer.error)) ? String(answer.error) : 'no code';
    const fault = WRONG_CODE.has(error) ? 'refused' : 'unavailable';
    throw new UpstreamError(fault, `the token endpoint of ${host} answered ${status} (${error})`);
  }
  return new OAuth2Tokens(answer);
};

/** A member of the token answer. @throws {UpstreamError} `unavailable` */
export const memberOf = (read: () => string, name: string): string => {
  try {
    return read();
  } catch {
    throw new UpstreamError('unavailable', `the token endpoint gave no ${name}`);
  }
};

/** The code of a callback, or why there is none. @throws {UpstreamError} */
export const codeOf = (answer: URLSearchParams): string => {
  const error = answer.get('error');
  if (error === 'access_denied') throw new UpstreamError('cancelled', 'access_denied');
  if (error !== null)
    throw new UpstreamError(
      error === 'server_error' || error === 'temporarily_unavailable' ? 'unavailable' : 'refused',
      `the provider answered ${/^[\w.-]{1,60}$/.test(error) ? error : 'an error'}`,
    );
  const code = answer.get('code');
  if (!code || answer.getAll('code').length > 1) throw new UpstreamError('refused', 'the answer has no code');
  return code;
};
