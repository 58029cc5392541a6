// What is wrong with an answer, whatever was asked.
import { STATUS_CODES } from 'node:http';
import { contractOf } from '../../test/helpers/contract.ts';
import type { Description } from './rest-requests.ts';
import type { Answer, Silence } from './send.ts';
import { MARKUP } from './values.ts';

/** A kind, so that the same is told once, and what it was. */
export type Violation = { kind: string; detail: string };

// What an answer never has: NUL to unit separator, but for tab and line ends, DEL, and the C1 controls.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROLS = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/;
const INSIDES = /\bat (?:\w|\S+ \()[^\n]*:\d+:\d+|node_modules|\/src\/\w+\/|PrismaClient|"stack"/;
/** RFC 6749 §5.2 */
const ERROR_WORDS = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
const METHODS = new Set(['HEAD', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

const parsed = (text: string): Record<string, unknown> | undefined => {
  try {
    return Object(JSON.parse(text));
  } catch {
    return undefined;
  }
};

const problemFaults = (answer: Answer, requestId: string): string[] => {
  const body = parsed(answer.body);
  if (!body) return ['problem details that are no JSON'];
  const right =
    body.status === answer.status &&
    body.title === STATUS_CODES[answer.status] &&
    typeof body.detail === 'string' &&
    typeof body.code === 'string' &&
    body.request_id === requestId;
  return right ? [] : ['problem details that lack something'];
};

const oauthFaults = ({ body: text }: Answer): string[] => {
  const body = parsed(text);
  if (typeof body?.error !== 'string') return ['neither problem details nor an OAuth error'];
  const words = [body.error, body.error_description ?? ''].map(String);
  return words.every((one) => ERROR_WORDS.test(one))
    ? []
    : ['an OAuth error with characters that RFC 6749 §5.2 does not allow'];
};

/** Its form: a page, problem details, an OAuth error, or nothing where nothing belongs. */
const formFaults = (answer: Answer, method: string, requestId: string): string[] => {
  const { status, body } = answer;
  const type = String(answer.headers['content-type'] ?? '').split(';')[0];
  if (method === 'HEAD' || status === 204 || status === 304) return body === '' ? [] : ['a body where none belongs'];
  if (type === 'text/html')
    return /<main\b/.test(body) || /<form\b/.test(body) || status < 400 ? [] : ['a page without content'];
  // RFC 7009 §2.2: nothing is said of what was revoked.
  if (status < 400)
    return type?.endsWith('json') && body !== '' && parsed(body) === undefined ? ['JSON that is none'] : [];
  if (type === 'application/problem+json') return problemFaults(answer, requestId);
  if (type === 'application/json') return oauthFaults(answer);
  // RFC 6750 §3.1: a challenge may be all there is.
  return [`an error as ${type || 'nothing'}`];
};

/** Node's parser answers by itself what is no HTTP. */
export const isParsersOwn = ({ status, headers, body }: Answer): boolean =>
  [400, 408, 413, 414, 417, 431].includes(status) &&
  body === '' &&
  headers.connection === 'close' &&
  headers.date === undefined;

export const createJudge = (description: Description) => {
  const contract = contractOf(description as unknown as Parameters<typeof contractOf>[0]);

  const contractFaults = (method: string, target: string, answer: Answer): string[] => {
    const type = String(answer.headers['content-type'] ?? '');
    // Whoever asks for a page gets one, everywhere.
    if (contract.operationOf(method, target) === undefined || type.startsWith('text/html')) return [];
    const headers = new Headers();
    for (let at = 0; at + 1 < answer.rawHeaders.length; at += 2)
      headers.append(answer.rawHeaders[at] ?? '', answer.rawHeaders[at + 1] ?? '');
    try {
      contract.check(method, target, answer.status, headers, answer.body === '' ? undefined : parsed(answer.body));
      return [];
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  };

  return (operation: string, method: string, target: string, answer: Answer | Silence): Violation[] => {
    const told = (kind: string, detail: string): Violation => ({
      kind: `${kind} | ${operation}`,
      detail: detail.slice(0, 600),
    });
    if ('failed' in answer) return answer.expected ? [] : [told(answer.failed, `after ${Math.round(answer.ms)} ms`)];
    if (isParsersOwn(answer)) return [];
    const { status, body } = answer;
    const found: Violation[] = [];
    if (status >= 500 && !(status === 501 && !METHODS.has(method))) found.push(told(String(status), body));
    const id = answer.headers['x-request-id'];
    if (typeof id !== 'string' || !/^[\w.-]{8,64}$/.test(id))
      found.push(told('no request id', `${status} ${String(id)}`));
    for (const fault of formFaults(answer, method, String(id))) found.push(told(fault, `${status} ${body}`));
    const type = String(answer.headers['content-type'] ?? '');
    if (/json|html|text/.test(type) && CONTROLS.test(body))
      found.push(told('control characters', JSON.stringify(body)));
    if (type.startsWith('text/html') && body.includes(MARKUP))
      found.push(told('markup comes back', body.slice(Math.max(0, body.indexOf(MARKUP) - 200))));
    if (status >= 400 && INSIDES.test(body)) found.push(told('tells of its inside', body));
    for (let at = 1; at < answer.rawHeaders.length; at += 2)
      if (!/^[\x20-\x7e]*$/.test(answer.rawHeaders[at] ?? ''))
        found.push(told(`odd characters in ${answer.rawHeaders[at - 1]}`, JSON.stringify(answer.rawHeaders[at])));
    if (found.length === 0)
      for (const fault of contractFaults(method, target, answer)) found.push(told('not as documented', fault));
    return found;
  };
};
