import type { JWKS, Provider } from 'oidc-provider';
import type { Keyring } from './keyring.ts';

export type Engine = ReturnType<typeof createEngine>;

// oidc-provider's classes, such as `Grant`, are told from its methods by their names.
const isClass = (key: PropertyKey): boolean => typeof key === 'string' && /^[A-Z]/.test(key);

/** Looks like a provider, and is whichever one is current at each use: for whoever holds it longer than the keys stay the same. */
const always = (current: () => Provider): Provider =>
  new Proxy({} as Provider, {
    get(_, key) {
      const provider = current();
      const value = Reflect.get(provider, key, provider);
      return typeof value === 'function' && !isClass(key) ? value.bind(provider) : value;
    },
  });

/**
 * The authorization server over time. oidc-provider reads its signing keys, and the types of authorization details, once, when it is made, which takes less than a
 * millisecond: so it is made again when they change.
 *
 * @param build A provider that signs with these keys.
 */
export const createEngine = (keyring: Keyring, build: (jwks: JWKS) => Provider) => {
  const extensions: ((provider: Provider) => void)[] = [];
  let current = build({ keys: keyring.current().jwks });
  const rebuild = (): void => {
    const next = build({ keys: keyring.current().jwks });
    for (const extend of extensions) extend(next);
    // Requests under way end with the one they began with: its keys are published for as long as it matters.
    current = next;
  };
  keyring.onChange(rebuild);

  return {
    /** The provider of the moment, to be held for good. */
    provider: always(() => current),

    /** The one behind it, which is another after the keys have changed. */
    current: (): Provider => current,

    /** After a change of something else that oidc-provider reads once. */
    rebuild,

    /** Adds what every provider has to have, this one and those to come. */
    extend(extension: (provider: Provider) => void): void {
      extensions.push(extension);
      extension(current);
    },
  };
};
