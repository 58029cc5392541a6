// Calls the REST API of a test server, and holds every answer against what is documented.
import { openApiDocument } from '../../src/http/openapi.ts';
import { allOperations } from '../../src/http/operations/all.ts';
import { contractOf } from './contract.ts';

const contract = contractOf(openApiDocument(allOperations, 'http://localhost', 'test'));

export type Answer = { status: number; headers: Headers; body: Record<string, unknown> };

export const createRest = (origin: string) => {
  const call =
    (method: string) =>
    async (path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
      const response = await fetch(new URL(path, origin), {
        method,
        headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
        body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
      });
      const text = await response.text();
      const answer = text === '' ? undefined : JSON.parse(text);
      contract.check(method, path, response.status, response.headers, answer);
      return { status: response.status, headers: response.headers, body: answer ?? {} };
    };
  return {
    get: (path: string, headers?: Record<string, string>) => call('GET')(path, undefined, headers),
    post: call('POST'),
    put: call('PUT'),
    delete: call('DELETE'),
  };
};

export const bearer = (token: unknown): Record<string, string> => ({ authorization: `Bearer ${token}` });
