// Every change of a user replaces their stamp, and that of a client its own: copies of what was read before are current no longer, in any
// process.
import type { AdministrationStore } from './administration.ts';
import type { Clients } from './clients.ts';
import type { Identities } from './identities.ts';
import type { OneTimeTokens } from './one-time-tokens.ts';
import type { Registrations } from './registrations.ts';
import type { Stamps } from './stamps.ts';
import type { Users } from './users.ts';
import type { VouchedRead } from './vouched.ts';

const asked: VouchedRead = (_kind, _id, read) => read();

/** @param vouched Absent where there is no store but the database: nothing goes on without that. */
export const stampedUsers = (users: Users, { changing }: Stamps, vouched = asked): Users => ({
  ...users,
  findById: (id) => vouched('user', id, () => users.findById(id)),
  choosePassword: (id, before, after) => changing(id, () => users.choosePassword(id, before, after)),
  replacePasswordHash: (id, before, after) => changing(id, () => users.replacePasswordHash(id, before, after)),
  update: (id, changes) => changing(id, () => users.update(id, changes)),
  scheduleErasure: (id, eraseAfter) => changing(id, () => users.scheduleErasure(id, eraseAfter)),
  endSignIns: (id) => changing(id, () => users.endSignIns(id)),
  cancelErasure: (id) => changing(id, () => users.cancelErasure(id)),
  erase: (id) => changing(id, () => users.erase(id)),
  async setPasswordHash(emailKey, passwordHash) {
    const user = await users.findByLogin(emailKey);
    return user && changing(user.id, () => users.setPasswordHash(emailKey, passwordHash));
  },
});

const nameOf = (clientId: string): string => `client:${clientId}`;

export const stampedClients = (clients: Clients, { changing }: Stamps, vouched = asked): Clients => {
  const idOf = ({ metadata }: { metadata: { client_id: string } }) => nameOf(metadata.client_id);
  return {
    ...clients,
    find: (clientId) => vouched('client', nameOf(clientId), () => clients.find(clientId)),
    put: (client) => changing(idOf(client), () => clients.put(client)),
    replace: (before, client) => changing(idOf(before), () => clients.replace(before, client)),
    rotateSecret: (before, secret, until) => changing(idOf(before), () => clients.rotateSecret(before, secret, until)),
    remove: (clientId) => changing(nameOf(clientId), () => clients.remove(clientId)),
  };
};

export const stampedRegistrations = (registrations: Registrations, { changing }: Stamps): Registrations => ({
  ...registrations,
  replaceToken: (clientId, before, after) =>
    changing(nameOf(clientId), () => registrations.replaceToken(clientId, before, after)),
  /** Which they are is known once they are removed: their stamps follow before that is acknowledged. */
  async removeUnused(days, limit) {
    const removed = await registrations.removeUnused(days, limit);
    await Promise.all(removed.map((clientId) => changing(nameOf(clientId), async () => {})));
    return removed;
  },
});

/** Who takes a way in off their account ends what they are signed in by; one that is added may prove their address. */
export const stampedIdentities = (identities: Identities, { changing }: Stamps): Identities => ({
  ...identities,
  link: (holder, identity, by) => changing(holder.id, () => identities.link(holder, identity, by)),
  unlink: (holder, id, usable) => changing(holder.id, () => identities.unlink(holder, id, usable)),
});

export const stampedAdministration = (store: AdministrationStore, { changing }: Stamps): AdministrationStore => ({
  ...store,
  change: (id, decide) => changing(id, () => store.change(id, decide)),
  erase: (id) => changing(id, () => store.erase(id)),
});

/** Whose token it is is known once it is spent: the stamp follows before anybody is told. */
export const stampedOneTimeTokens = (tokens: OneTimeTokens, { changing }: Stamps): OneTimeTokens => {
  const changed = (id: string) => changing(id, async () => {});
  return {
    ...tokens,
    replacePending: (token) => changing(token.userId, () => tokens.replacePending(token)),
    clearPending: (userId) => changing(userId, () => tokens.clearPending(userId)),
    async redeemReset(tokenHash, passwordHash) {
      const redeemed = await tokens.redeemReset(tokenHash, passwordHash);
      if (redeemed) await changed(redeemed.user.id);
      return redeemed;
    },
    async redeemVerification(tokenHash, byHolder) {
      const user = await tokens.redeemVerification(tokenHash, byHolder);
      if (user) await changed(user.id);
      return user;
    },
    async redeemChange(tokenHash, emailKey, byHolder) {
      const done = await tokens.redeemChange(tokenHash, emailKey, byHolder);
      if (typeof done === 'object') await changed(done.user.id);
      return done;
    },
  };
};
