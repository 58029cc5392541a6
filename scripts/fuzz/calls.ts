// Calls that prepare a run.

export type Json = Record<string, unknown>;

/** A call that has to succeed: the cast is no part of what is tried out. */
export const createCalls = (origin: string) => {
  const call = async (method: string, path: string, token: string | undefined, init: RequestInit): Promise<Json> => {
    const headers = { ...(token && { authorization: token }), ...(init.headers as Record<string, string>) };
    const response = await fetch(origin + path, { ...init, method, headers });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    return text === '' ? {} : JSON.parse(text);
  };
  return {
    get: (path: string, token?: string) => call('GET', path, token, {}),
    json: (path: string, body: Json, token?: string, method = 'POST') =>
      call(method, path, token, { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    form: (path: string, body: Record<string, string>) =>
      call('POST', path, undefined, { body: new URLSearchParams(body) }),
  };
};
export type Calls = ReturnType<typeof createCalls>;
