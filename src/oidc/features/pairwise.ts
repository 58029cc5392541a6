import type { Client, Configuration } from 'oidc-provider';
import type { Secrets } from '../../domain/secrets.ts';

export type SubjectOf = (accountId: string, client: Client) => string;

/**
 * What a client knows an account by. For a client with pairwise subjects it is a function of account and sector under a key that is in no
 * store, the same in every process: clients of different sectors cannot tell that they mean the same person.
 *
 * @see [OIDC Core §8.1](https://openid.net/specs/openid-connect-core-1_0.html#PairwiseAlg)
 */
export const subjectsOf =
  (secrets: Secrets): SubjectOf =>
  (accountId, client) =>
    client.subjectType === 'pairwise'
      ? secrets.keyedHash('pairwise-subject', `${client.sectorIdentifier}\0${accountId}`)
      : accountId;

export const pairwise = (secrets: Secrets) => {
  const subjectOf = subjectsOf(secrets);
  return {
    subjectTypes: ['public', 'pairwise'],
    pairwiseIdentifier: async (_ctx, accountId, client) => subjectOf(accountId, client),
    // OIDC Registration §5: validated at registration. A sector's host that is down later stops nobody from signing in.
    sectorIdentifierUriValidate: (client) => client.stored !== true,
  } satisfies Pick<Configuration, 'subjectTypes' | 'pairwiseIdentifier' | 'sectorIdentifierUriValidate'>;
};
