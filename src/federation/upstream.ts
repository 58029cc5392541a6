import { OAuth2Tokens } from 'arctic';
import { type ClientSettings, UpstreamError } from './identity.ts';

export const TIMEOUT_MS = 3_000;
const MAX_BYTES = 256 * 1024;
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Whether what is sent there stays between us and them: https, or this very machine. */
const isConfidential = (url: URL): boolean =>
  url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.has(url.hostname));

const boundedText = async (response: Response): Promise<string> => {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
};

/** One request: at most 3 s and 256 KiB, and never to where a redirect would lead. @throws {UpstreamError} `unavailable` */
export const ask = async (url: string | URL, init: RequestInit = {}): Promise<{ status: number; text: string }> => {
  const target = new URL(url);
  const at = `${target.host}${target.pathname}`;
  if (!isConfidential(target)) throw new UpstreamError('unavailable', `${at} is neither https nor this machine`);
  try {
    const response = await fetch(target, {
      ...init,
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { accept: 'application/json', 'user-agent': 'user-auth', ...init.headers },
    });
    return { status: response.status, text: await boundedText(response) };
  } catch (error) {
    const why = error instanceof Error ? error.name : 'no answer';
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
export const askJson = async (url: string | URL, init: RequestInit = {}): Promise<object> => {
  const { status, text } = await ask(url, init);
  const { host, pathname } = new URL(url);
  if (status !== 200) throw new UpstreamError('unavailable', `${host}${pathname} answered ${status}`);
  return jsonOf(text, `${host}${pathname}`);
};

const formEncoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1);

/**
 * Exchanges a code. Not by arctic's own request, which waits for ever, reads any amount, and takes the code along where a redirect
 * leads.
 *
 * @param byBasic Shows the client secret by HTTP Basic (RFC 6749 §2.3.1), otherwise in the body.
 * @throws {UpstreamError} `unavailable`, also when the provider does not take the code.
 */
export const redeemCode = async (
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
    throw new UpstreamError('unavailable', `the token endpoint of ${host} answered ${status} (${error})`);
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
  if (!code || answer.getAll('code').length > 1) throw new UpstreamError('unavailable', 'the answer has no code');
  return code;
};
