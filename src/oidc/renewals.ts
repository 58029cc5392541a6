import { AsyncLocalStorage } from 'node:async_hooks';
import type { Grant } from 'oidc-provider';

const renewing = new AsyncLocalStorage<boolean>();

/** Saves a grant that was found a moment ago: should it have been ended since, it stays so. @returns its identifier. */
export const renew = (grant: Grant): Promise<string> => renewing.run(true, () => grant.save());

/** Whether what is written now takes the place of what is there, and of nothing else. */
export const isRenewal = (): boolean => renewing.getStore() ?? false;
