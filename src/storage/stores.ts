// The storage room: Postgres and Redis. It knows SQL and keys, no rules; its settings arrive as arguments.
import type { AdministrationStore } from './administration.ts';
import type { ApiKeys } from './api-keys.ts';
import type { Artifacts } from './artifacts.ts';
import type { AuditLog, MacOf } from './audit.ts';
import type { ClientDocuments } from './client-documents.ts';
import type { Clients } from './clients.ts';
import type { Consents } from './consents.ts';
import type { Denials } from './denials.ts';
import type { Identities } from './identities.ts';
import type { InitialAccessTokens } from './initial-access-tokens.ts';
import type { OneTimeTokens } from './one-time-tokens.ts';
import type { OutgoingCalls } from './outgoing-calls.ts';
import type { OutgoingMails } from './outgoing-mails.ts';
import type { PairwiseSubjects } from './pairwise-subjects.ts';
import type { RateLimits } from './rate-limits.ts';
import type { Registrations } from './registrations.ts';
import type { Replays } from './replays.ts';
import type { ResourceServers } from './resource-servers.ts';
import type { Roles } from './roles.ts';
import type { SessionClients } from './session-clients.ts';
import type { SignIns } from './sign-ins.ts';
import type { SigningKeys } from './signing-keys.ts';
import type { Atomically } from './units.ts';
import type { UserImports } from './user-imports.ts';
import type { UserSearch } from './user-search.ts';
import type { Users } from './users.ts';

/** One store's health. */
export type StoreState = { status: 'up' | 'down'; latency_ms: number };

export type Stores = {
  users: Users;
  userImports: UserImports;
  userSearch: UserSearch;
  administration: AdministrationStore;
  roles: Roles;
  apiKeys: ApiKeys;
  clients: Clients;
  registrations: Registrations;
  initialAccessTokens: InitialAccessTokens;
  clientDocuments: ClientDocuments;
  resourceServers: ResourceServers;
  signingKeys: SigningKeys;
  consents: Consents;
  pairwiseSubjects: PairwiseSubjects;
  signIns: SignIns;
  artifacts: Artifacts;
  denials: Denials;
  replays: Replays;
  rateLimits: RateLimits;
  identities: Identities;
  oneTimeTokens: OneTimeTokens;
  outgoingMails: OutgoingMails;
  outgoingCalls: OutgoingCalls;
  sessionClients: SessionClients;
  /** Everything that the work writes, the audit log and the mails included, is written as a whole or not at all. */
  atomically: Atomically;
  /** The audit log, under a key that the stores do not have. */
  auditLog(macOf: MacOf): AuditLog;
  /** The migrations that opening has applied, by name. */
  appliedMigrations: string[];
  /** For people: which stores are in use, without credentials. */
  description: string;
  /** Asks every store a trivial question; each answers or is down within two seconds. */
  check(): Promise<Record<string, StoreState>>;
  close(): Promise<void>;
};
