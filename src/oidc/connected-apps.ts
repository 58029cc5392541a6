import type { Provider } from 'oidc-provider';
import type { Audit } from '../domain/audit.ts';
import { DomainError } from '../domain/errors.ts';
import type { Secrets } from '../domain/secrets.ts';
import type { ResourceScopes } from '../storage/consents.ts';
import type { Stores } from '../storage/stores.ts';
import { artifactsOfAccount } from './adapter.ts';
import { findClient } from './find-client.ts';
import type { KnownClients } from './known-clients.ts';

/** An app that a person has let use their account. */
export type ConnectedApp = {
  clientId: string;
  name: string;
  logoUri: string | undefined;
  scopes: string[];
  /** At other APIs. */
  resources: ResourceScopes;
  createdAt: Date;
  lastUsedAt: Date;
};

export type ConnectedApps = ReturnType<typeof createConnectedApps>;

/** What people have let apps do, as they see it and take it back. */
export const createConnectedApps = (
  provider: Provider,
  { artifacts, consents, atomically }: Stores,
  known: KnownClients,
  secrets: Secrets,
  endGrant: (grantId: string) => Promise<void>,
  audit: Audit,
) => {
  const endGrants = async (userId: string, clientId: string): Promise<void> => {
    const grants = await artifactsOfAccount(artifacts, known, secrets, 'Grant', userId);
    await Promise.all(grants.filter((grant) => grant.clientId === clientId).map(({ jti }) => endGrant(String(jti))));
  };

  return {
    /** Last used first; apps that are gone are left out. */
    async list(userId: string): Promise<ConnectedApp[]> {
      const apps = await Promise.all(
        (await consents.list(userId)).map(async ({ clientId, scopes, resources, createdAt, lastUsedAt }) => {
          const client = await findClient(provider, clientId);
          // One whose document cannot be read now can still be taken back.
          if (!client && !known.isAddress(clientId)) return [];
          const { clientName: name = clientId, logoUri } = client ?? {};
          const there = resources as ResourceScopes;
          return [{ clientId, name, logoUri, scopes, resources: there, createdAt, lastUsedAt }];
        }),
      );
      return apps.flat();
    },

    /** An app got tokens for somebody. */
    used: (userId: string, clientId: string): Promise<void> => consents.used(userId, clientId),

    /**
     * Ends everything an app holds of a person, in every browser, and forgets that they allowed it.
     *
     * @throws {DomainError} `unknown_app`.
     */
    async disconnect(userId: string, clientId: string): Promise<void> {
      if (!(await consents.find(userId, clientId))) throw new DomainError('unknown_app', 'there is no such app');
      // Before as well as after: the consent stands until its grants are ended, so that a second call can finish what a first
      // one could not; and a grant that was made of it in between ends too.
      await endGrants(userId, clientId);
      await atomically(async () => {
        await consents.remove(userId, clientId);
        await audit.record({ type: 'consent.withdrawn', target: userId, client: clientId });
      });
      await endGrants(userId, clientId);
    },
  };
};
