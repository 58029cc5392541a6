// Signing keys that are not ours to hold, such as those of a key management service: brought by a module that configuration names.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import type { ExternalKey } from './oidc/external-keys.ts';
import { ALGORITHMS, SigningKeysError } from './oidc/keys.ts';

const Keys = z.array(
  z.object({
    kid: z.string().min(1),
    alg: z.enum(ALGORITHMS),
    publicJwk: z.looseObject({ kty: z.string() }).refine((jwk) => !('d' in jwk), 'has a private part'),
    sign: z.custom<ExternalKey['sign']>((value) => typeof value === 'function', 'is not a function'),
  }),
);

/**
 * The keys that the module's default export, a function without parameters, resolves with; none where no module is named.
 *
 * @throws {SigningKeysError} when it cannot be loaded, or gives something else.
 */
export const loadExternalKeys = async (path: string | undefined): Promise<ExternalKey[]> => {
  if (path === undefined) return [];
  try {
    const { default: keys } = await import(pathToFileURL(resolve(path)).href);
    return Keys.parse(await keys());
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new SigningKeysError(`SIGNING_KEYS_MODULE brings no keys: ${why}`, { cause });
  }
};
