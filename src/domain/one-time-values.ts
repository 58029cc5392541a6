import type { Artifacts } from '../storage/artifacts.ts';
import { randomSecret, type Secrets, sha256 } from './secrets.ts';

export type OneTimeValues = ReturnType<typeof createOneTimeValues>;

/** What is kept for a moment under a name that nobody can guess, for whoever comes with that name first. */
export const createOneTimeValues = (artifacts: Artifacts, secrets: Secrets) => ({
  /**
   * Keeps a value, sealed.
   *
   * @param accountId Whose it is: it ends with everything else that is theirs.
   * @returns the name, 256 random bits.
   */
  async put(model: string, value: object, ttlSeconds: number, accountId?: string): Promise<string> {
    const name = randomSecret();
    const idHash = sha256(name);
    await artifacts.upsert(model, idHash, {
      payload: secrets.seal(JSON.stringify(value), `${model}:${idHash}`),
      expiresAt: Math.floor(Date.now() / 1000) + ttlSeconds,
      ...(accountId !== undefined && { accountId }),
    });
    return name;
  },

  /** The value, to one caller; undefined for every other, and once it has expired. */
  async take(model: string, name: string): Promise<unknown> {
    const idHash = sha256(name);
    const found = await artifacts.find(model, idHash);
    if (!found || !(await artifacts.consume(model, idHash))) return undefined;
    return JSON.parse(secrets.open(found.payload, `${model}:${idHash}`));
  },

  /** Remembers, for as long as the value may be, that somebody came for it who was not the first. */
  async cameAgain(model: string, name: string, ttlSeconds: number): Promise<void> {
    const expiresAt = Math.floor(Date.now() / 1000) + ttlSeconds;
    await artifacts.upsert(`${model}Again`, sha256(name), { payload: '-', expiresAt });
  },

  /** Whether somebody has. */
  hasComeAgain: async (model: string, name: string): Promise<boolean> =>
    (await artifacts.find(`${model}Again`, sha256(name))) !== undefined,

  /** The value, without taking it: also one that was taken already, for as long as it is kept. */
  async look(model: string, name: string): Promise<unknown> {
    const idHash = sha256(name);
    const found = await artifacts.find(model, idHash);
    return found && JSON.parse(secrets.open(found.payload, `${model}:${idHash}`));
  },
});
