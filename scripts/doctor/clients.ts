import type { Client } from 'pg';
import type { Config } from '../../src/config.ts';
import { DEMO_CLIENT_ID } from '../../src/demo.ts';
import { faultOfRedirectUri } from '../../src/oidc/redirect-uris.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

/** Told of at most, that the answer stays one to read. */
const SHOWN = 20;
const UNUSED_DAYS = 90;

type Row = { clientId: string; metadata: Record<string, unknown>; firstParty: boolean; days: number; used: boolean };

const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];

/** What a string of an app's own may do to a terminal, it does not. */
const shown = (text: string): string =>
  JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 120);

const faultsOf = ({ clientId, metadata, firstParty, days, used }: Row, production: boolean): Finding[] => {
  const found: Finding[] = [];
  const client = shown(clientId);
  const redirects = strings(metadata.redirect_uris);
  for (const [member, uris] of [
    ['redirect_uris', redirects],
    ['post_logout_redirect_uris', strings(metadata.post_logout_redirect_uris)],
  ] as const)
    for (const uri of uris) {
      const fault = faultOfRedirectUri(uri, true);
      if (fault)
        found.push(
          (production ? fail : warn)(
            'clients',
            // Without what may be a secret in it.
            `${client}: ${member} ${fault} (${shown(uri.replace(/[?#].*$/s, '').replace(/\/\/[^/@]*@/, '//'))}).`,
            'Correct it at /admin/clients, with the app.',
          ),
        );
    }
  const signsIn = strings(metadata.grant_types ?? ['authorization_code']).includes('authorization_code');
  if (signsIn && redirects.length === 0)
    found.push(
      warn('clients', `${client} has nowhere to send people back to.`, 'Give it a redirect URI, or delete it.'),
    );
  else if (signsIn && !firstParty && !used && days > UNUSED_DAYS)
    found.push(
      warn(
        'clients',
        `${client} is ${Math.floor(days)} days old, and nobody has allowed it anything.`,
        'Delete it if nobody needs it.',
      ),
    );
  if (production && clientId === DEMO_CLIENT_ID && redirects.some((uri) => uri.startsWith('http://localhost')))
    found.push(fail('clients', 'The demo client is in the database of a production.', `Delete ${DEMO_CLIENT_ID}.`));
  return found;
};

/** Whether apps lead people where they should, and whether they are still of use. */
export const checkClients = async (db: Client, { production }: Config): Promise<Finding[]> => {
  const { rows } = await db.query<Row>(
    `SELECT c.client_id AS "clientId", c.metadata, c.first_party AS "firstParty",
            (extract(epoch FROM now() - c.created_at) / 86400)::float8 AS days,
            c.last_used_at IS NOT NULL OR EXISTS (SELECT FROM consents WHERE client_id = c.client_id) AS used
       FROM oauth_clients c ORDER BY c.client_id`,
  );
  const found = rows.flatMap((row) => faultsOf(row, production));
  if (found.length === 0) return [ok('clients', `They lead where they should: ${rows.length}.`)];
  // What has to be mended comes first.
  found.sort((a, b) => Number(b.status === 'fail') - Number(a.status === 'fail'));
  const rest = found.length - SHOWN;
  return rest > 0
    ? [...found.slice(0, SHOWN), warn('clients', `There is more of the same: ${rest} findings.`, 'Mend these first.')]
    : found;
};
