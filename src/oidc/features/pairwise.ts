import type { Client, Configuration } from 'oidc-provider';
import type { Accounts } from '../../domain/accounts.ts';
import type { Secrets } from '../../domain/secrets.ts';
import type { PairwiseSubjects } from '../../storage/pairwise-subjects.ts';
import { createFindAccount } from '../find-account.ts';
import { CIBA_GRANT } from './decoupled.ts';

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

/** Subjects that this process has noted already. */
const NOTED = 10_000;

export const pairwise = (secrets: Secrets, accounts: Accounts, subjects: PairwiseSubjects) => {
  const subjectOf = subjectsOf(secrets);
  const findAccount = createFindAccount(accounts);
  const hashOf = (subject: string) => secrets.keyedHash('pairwise-lookup', subject);
  const noted = new Set<string>();
  return {
    subjectTypes: ['public', 'pairwise'],
    async pairwiseIdentifier(_ctx, accountId, client) {
      const subject = subjectOf(accountId, client);
      // A client that may ask for approvals may name people by the ID tokens that it has of them (CIBA Core §7.1).
      if (client.grantTypeAllowed(CIBA_GRANT) && !noted.has(subject)) {
        await subjects.note(hashOf(subject), accountId);
        if (noted.size >= NOTED) noted.clear();
        noted.add(subject);
      }
      return subject;
    },
    async findAccount(ctx, id, token) {
      const { client, entities, route } = ctx.oidc;
      // The engine takes the subject of the hint for an account; of this client's it is not.
      const hinted = route === 'backchannel_authentication' && 'IdTokenHint' in entities;
      if (!hinted || client?.subjectType !== 'pairwise') return findAccount(ctx, id, token);
      const accountId = await subjects.find(hashOf(id));
      // Of the client's own sector, as it is now.
      return accountId !== undefined && subjectOf(accountId, client) === id
        ? findAccount(ctx, accountId, token)
        : undefined;
    },
    // OIDC Registration §5: validated at registration. A sector's host that is down later stops nobody from signing in.
    sectorIdentifierUriValidate: (client) => client.stored !== true,
  } satisfies Pick<
    Configuration,
    'findAccount' | 'subjectTypes' | 'pairwiseIdentifier' | 'sectorIdentifierUriValidate'
  >;
};
