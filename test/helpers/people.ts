// Users of the REST API, signed in, with keys.
import { bearer, createRest } from './rest.ts';
import type { TestServer } from './server.ts';

export const PASSWORD = 'a long password';

let serial = 0;

export const createPeople = (server: TestServer) => {
  const rest = createRest(server.origin);

  const login = async (email: string, password = PASSWORD): Promise<Record<string, string>> => {
    const { status, body } = await rest.post('/auth/login', { email, password });
    if (status !== 200) throw new Error(`not signed in: ${JSON.stringify(body)}`);
    return bearer(body.access_token);
  };

  return {
    rest,
    login,

    /** Somebody new with a role, signed in. */
    async person(role = 'user', email = `somebody-${++serial}@example.com`) {
      const { id } = await server.accounts.create({ email, password: PASSWORD });
      await server.database.pool.query('UPDATE users SET role = $2 WHERE id = $1', [id, role]);
      return { id, email, auth: await login(email) };
    },

    /** A new key of who signs in with `auth`. */
    async key(auth: Record<string, string>, scopes: string[]): Promise<Record<string, string>> {
      const made = await rest.post('/users/api-keys', { name: 'a key', scopes }, auth);
      if (made.status !== 201) throw new Error(`no key: ${JSON.stringify(made.body)}`);
      return { 'X-API-Key': String(made.body.key) };
    },

    /** Adds a role by SQL, as an operator would. */
    async role(name: string, permissions: string[]): Promise<void> {
      await server.database.pool.query('INSERT INTO roles VALUES ($1, $2) ON CONFLICT DO NOTHING', [name, permissions]);
    },
  };
};
