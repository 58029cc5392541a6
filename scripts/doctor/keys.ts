import type { Client } from 'pg';
import type { Config } from '../../src/config.ts';
import { createSecrets } from '../../src/domain/secrets.ts';
import { ALGORITHMS, openKey, SigningKeysError } from '../../src/oidc/keys.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

/** A key that signs for longer than this is old, where none takes over by itself. */
const OLD_DAYS = 365;
/** What a key may be late by: it is looked for once an hour, and waits for minutes until it signs. */
const LATE_DAYS = 1;

type Row = {
  kid: string;
  alg: string;
  publicJwk: Record<string, unknown>;
  sealedJwk: string;
  /** Since it signs; negative while it waits. */
  days: number;
  last: boolean;
};

export const signingKeysOf = async (db: Client): Promise<Row[]> => {
  const { rows } = await db.query<Row>(
    `SELECT kid, alg, public_jwk AS "publicJwk", sealed_jwk AS "sealedJwk",
            (extract(epoch FROM now() - active_from) / 86400)::float8 AS days,
            NOT EXISTS (SELECT FROM signing_keys later WHERE later.alg = k.alg AND later.active_from > k.active_from
                           AND later.active_from <= now()) AS last
       FROM signing_keys k ORDER BY active_from`,
  );
  return rows;
};

export const checkKeys = async (
  rows: Row[],
  { keyRotationDays, keyEncryptionSecrets }: Config,
  masterKey: string | undefined,
): Promise<Finding[]> => {
  if (masterKey === undefined)
    return [
      fail('keys', 'There is no MASTER_KEY, nor a secrets.json in DATA_DIR.', 'Set it, or start the server once.'),
    ];
  const openers = [...keyEncryptionSecrets, masterKey].map(createSecrets);
  const sealing = { seal: () => '', openers };
  const found: Finding[] = [];
  for (const row of rows)
    await openKey(row, sealing, { async reseal() {} }).catch((error: unknown) => {
      if (!(error instanceof SigningKeysError)) throw error;
      found.push(
        fail(
          'keys',
          `The ${row.alg} key ${row.kid} does not open with this MASTER_KEY (or KEY_ENCRYPTION_SECRET).`,
          'Set the former one, or name both in KEY_ENCRYPTION_SECRET.',
        ),
      );
    });
  const ages: string[] = [];
  for (const alg of ALGORITHMS) {
    const active = rows.find((row) => row.alg === alg && row.last && row.days >= 0);
    if (!active) {
      found.push(fail('keys', `No ${alg} key signs.`, 'Start the server, which makes what is missing.'));
      continue;
    }
    const days = Math.floor(active.days);
    ages.push(`${alg} since ${days} days`);
    if (keyRotationDays > 0 && active.days > keyRotationDays + LATE_DAYS)
      found.push(
        warn(
          'keys',
          `The ${alg} key has signed for ${days} days, and KEY_ROTATION_DAYS is ${keyRotationDays}.`,
          'See whether a server runs, and what its log says; npm run rotate-keys does it at once.',
        ),
      );
    if (keyRotationDays === 0 && active.days > OLD_DAYS)
      found.push(warn('keys', `The ${alg} key has signed for ${days} days.`, 'Run: npm run rotate-keys'));
  }
  return found.length > 0 ? found : [ok('keys', `They open, and sign: ${ages.join(', ')}.`)];
};
