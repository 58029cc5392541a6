// Every request goes through here: timed, and held against what may be said when something is wrong.
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Report } from './report.ts';
import type { ServerProcess } from './server-process.ts';

/** No request hangs for longer, whatever is broken. */
const MOST_MS = 5_000;
/** How long is waited to see how long one hangs. */
const GIVE_UP_MS = 20_000;
/** Two processes on one machine: what was cut at this moment shows a moment later. */
const MARGIN_MS = 1_000;

export type Answer = {
  /** 0 where there was none. */
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  body: Record<string, unknown>;
  /** Nobody knows what became of it: no answer, or one that says to try again. */
  unknown: boolean;
};

export type Asked = { headers?: Record<string, string>; json?: unknown; form?: Record<string, string> };

const objectOf = (body: string): Record<string, unknown> => {
  try {
    return Object(JSON.parse(body));
  } catch {
    return {};
  }
};

/** What is wrong with a failure's form, or undefined. */
const malformed = ({ status, headers, text: body }: Answer, path: string, page: boolean): string | undefined => {
  if (status !== 503) return `status ${status} ${body.slice(0, 200)}`;
  if (!/^[1-9]\d*$/.test(headers['retry-after'] ?? '')) return 'no Retry-After';
  if (/node:internal|\.ts:\d+|ECONN|Prisma/.test(body)) return `tells of the inside: ${body.slice(0, 200)}`;
  const type = headers['content-type'] ?? '';
  if (page) return type.startsWith('text/html') && /<h1/.test(body) ? undefined : `not a page but ${type}`;
  const json = objectOf(body);
  if (path.startsWith('/oauth/'))
    return typeof json.error === 'string' && json.error !== 'server_error' ? undefined : `not OAuth's: ${body}`;
  if (path === '/health') return undefined;
  const sound = type.startsWith('application/problem+json') && json.status === 503 && json.code && json.request_id;
  return sound ? undefined : `not problem details: ${body.slice(0, 200)}`;
};

export type Caller = ReturnType<typeof createCaller>;

export const createCaller = (report: Report) => {
  const send = (url: URL, method: string, headers: Record<string, string>, body: string | undefined) =>
    new Promise<Answer>((resolve, reject) => {
      const req = httpRequest(url, { method, headers, agent: false }, async (res) => {
        try {
          const answered = await text(res);
          const status = res.statusCode ?? 0;
          resolve({
            status,
            headers: res.headers,
            text: answered,
            body: objectOf(answered),
            unknown: status >= 500,
          });
        } catch (error) {
          reject(error);
        }
      });
      req.setTimeout(GIVE_UP_MS, () => req.destroy(new Error('hung')));
      req.on('error', reject);
      req.end(body);
    });

  return async (server: ServerProcess, method: string, path: string, asked: Asked = {}): Promise<Answer> => {
    const body = asked.json === undefined ? undefined : JSON.stringify(asked.json);
    const sent = asked.form ? new URLSearchParams(asked.form).toString() : body;
    const type = asked.form ? 'application/x-www-form-urlencoded' : 'application/json';
    const headers = { accept: 'application/json', ...(sent && { 'content-type': type }), ...asked.headers };
    const page = headers.accept.includes('html');
    const { pathname } = new URL(path, server.origin);
    const what = `${method} ${pathname.replace(/[\w-]{21,}/g, ':id')}`;
    const from = Date.now();
    let answer: Answer;
    try {
      answer = await send(new URL(path, server.origin), method, headers, sent);
    } catch (error) {
      const code = String(Object(error).code ?? Object(error).message);
      const excused = server.wasAway(from - MARGIN_MS, Date.now() + MARGIN_MS);
      if (excused) report.failure('connection lost to a process that was killed');
      else report.check('a connection breaks only where a process was killed', false, `${what} ${code}`);
      answer = { status: 0, headers: {}, text: '', body: {}, unknown: true };
    }
    const ms = Date.now() - from;
    report.request(ms);
    report.check('no request hangs for more than 5 s', ms <= MOST_MS, `${what} ${answer.status} took ${ms} ms`);
    if (answer.status >= 500) {
      report.failure(`${answer.status} ${page ? 'page' : pathname.startsWith('/oauth/') ? 'OAuth' : 'REST'}`);
      const wrong = malformed(answer, pathname, page);
      const said = wrong && (await server.saidOf(String(answer.headers['x-request-id'])));
      report.check('every failure is a well-formed 503', wrong === undefined, `${what} ${wrong} ${said}`);
    }
    return answer;
  };
};
