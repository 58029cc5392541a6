// What a first `npm start` brings along so that there is something to try: one user, one confidential client.
// Development only; production never creates either.
import type { Accounts } from './domain/accounts.ts';
import { DomainError } from './domain/errors.ts';
import { randomSecret } from './domain/secrets.ts';
import type { ClientRegistry } from './oidc/clients.ts';
import { keptSecret, openDataDir } from './storage/data-dir.ts';

/** Where scripts/demo-rp.ts listens. */
export const DEMO_RP = 'http://localhost:8300';
export const DEMO_CLIENT_ID = 'optima_client';

type DemoSecrets = { email: string; password: string; clientSecret: string };

export type Demo = {
  email: string;
  /** Undefined once somebody has changed it. */
  password: string | undefined;
  clientId: string;
  /** Undefined when configuration has a client of this name. */
  clientSecret: string | undefined;
};

/** The demo's secrets in DATA_DIR, made on the first start. */
export const demoSecrets = async (dataDir: string): Promise<DemoSecrets> =>
  // Nothing else may have made it: with a database elsewhere, and every secret in the environment.
  keptSecret(await openDataDir(dataDir), 'demo.json', () => ({
    email: 'demo@example.com',
    password: randomSecret(9),
    clientSecret: randomSecret(32),
  }));

/**
 * Creates the demo user and client where they are missing; both keep their secrets from start to start.
 *
 * @param taken A client that configuration names itself: it is not touched.
 */
export const ensureDemo = async (
  dataDir: string,
  accounts: Accounts,
  clients: ClientRegistry,
  taken: string | undefined,
): Promise<Demo> => {
  const { email, password, clientSecret } = await demoSecrets(dataDir);
  let known = await accounts.authenticate(email, password);
  if (!known)
    try {
      known = await accounts.create({ email, password, username: 'demo', emailVerified: true });
    } catch (error) {
      if (!(error instanceof DomainError && error.code.endsWith('_taken'))) throw error;
      // Another worker was faster; or the user is there, with a password somebody chose since.
      known = await accounts.authenticate(email, password);
    }
  const ours = taken !== DEMO_CLIENT_ID;
  if (ours)
    await clients.ensure({
      client_id: DEMO_CLIENT_ID,
      client_secret: clientSecret,
      client_name: 'Optima Demo',
      redirect_uris: ['https://example.com/callback', `${DEMO_RP}/callback`],
      post_logout_redirect_uris: [`${DEMO_RP}/`],
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    });
  return {
    email,
    password: known && password,
    clientId: DEMO_CLIENT_ID,
    clientSecret: ours ? clientSecret : undefined,
  };
};
