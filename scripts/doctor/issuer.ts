// What browsers and apps meet at ISSUER: whether it is this installation, and what it sees of who comes.
import { connect } from 'node:tls';
import packageJson from '../../package.json' with { type: 'json' };
import type { Config } from '../../src/config.ts';
import { createSecrets } from '../../src/domain/secrets.ts';
import { SEEN_HEADER, type Seen, seenQuestion } from '../../src/http/seen.ts';
import { judgeClock } from './clock.ts';
import { type Finding, fail, ok, reasonOf, skipped, warn } from './finding.ts';

const ANSWERS_WITHIN_MS = 5_000;
const EXPIRES_SOON_DAYS = 14;
/** TEST-NET-1 (RFC 5737): nobody's, so that whoever is seen as it was made up. */
export const FORGED_ADDRESS = '192.0.2.77';
const FORGED_CERTIFICATE = 'forged by npm run doctor';

const get = async (url: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) });

const json = async (response: Response): Promise<Record<string, unknown> | undefined> => {
  try {
    return Object(await response.json());
  } catch {
    return undefined;
  }
};

const checkCertificate = async (issuer: string): Promise<Finding[]> => {
  const { protocol, hostname, port } = new URL(issuer);
  if (protocol !== 'https:') return [];
  const host = hostname.replace(/^\[|\]$/g, '');
  const validTo = await new Promise<string | undefined>((resolve) => {
    const socket = connect({ host, port: Number(port) || 443, servername: host, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().valid_to);
      socket.destroy();
    });
    socket.setTimeout(ANSWERS_WITHIN_MS, () => socket.destroy());
    socket.on('error', () => {}).once('close', () => resolve(undefined));
  });
  if (validTo === undefined) return [];
  const days = Math.floor((Date.parse(validTo) - Date.now()) / 86_400_000);
  if (days < 0) return [fail('certificate', `The certificate of ${host} has expired.`, 'Renew it.')];
  if (days < EXPIRES_SOON_DAYS)
    return [
      warn('certificate', `The certificate of ${host} expires in ${days} days.`, 'Renew it, and see why nothing did.'),
    ];
  return [ok('certificate', `It is good for ${days} days.`)];
};

/** Whether ISSUER leads to this installation. `reached` tells whether anything else can be asked there. */
export const checkIssuer = async (
  { issuer }: Config,
  kids: string[],
): Promise<{ reached: boolean; findings: Finding[] }> => {
  const discovery = `${issuer}/.well-known/openid-configuration`;
  let response: Response;
  try {
    response = await get(discovery);
  } catch (error) {
    const says = `Nothing answers at ${issuer} (${reasonOf(error)}).`;
    return {
      reached: false,
      findings: [
        fail('issuer', says, 'Start the server; see DNS, the proxy and its certificate; or correct ISSUER.'),
        ...(await checkCertificate(issuer)),
      ],
    };
  }
  const metadata = await json(response);
  if (response.status !== 200 || typeof metadata?.issuer !== 'string')
    return {
      reached: false,
      findings: [
        fail(
          'issuer',
          `${discovery} answers ${response.status}, and no metadata.`,
          'Lead every path of ISSUER to this server.',
        ),
      ],
    };
  const findings: Finding[] = [];
  if (metadata.issuer !== issuer)
    findings.push(
      fail(
        'issuer',
        `${issuer} answers as ${metadata.issuer.slice(0, 200)}.`,
        'Start every process with the same ISSUER, which is the address that people use.',
      ),
    );
  const jwks = await json(await get(`${issuer}/oauth/jwks`));
  const published = new Set([jwks?.keys].flat().map((key) => Object(key).kid));
  if (kids.some((kid) => !published.has(kid)))
    findings.push(
      fail(
        'issuer',
        `${issuer} publishes other signing keys than are in this database.`,
        'It is another installation, or a process that does not follow its database: see DATABASE_URL of both.',
      ),
    );
  const date = Date.parse(response.headers.get('date') ?? '');
  // The header counts in whole seconds.
  if (Number.isFinite(date)) findings.push(judgeClock('The clock of the server', date + 500 - Date.now(), 600));
  findings.push(...(await checkCertificate(issuer)));
  if (!findings.some(({ check }) => check === 'issuer'))
    findings.unshift(ok('issuer', `${issuer} is this installation.`));
  return { reached: true, findings };
};

/** What the addresses that the server was told mean. */
export const judgeProxies = (
  { address, forwarded_for }: Pick<Seen, 'address' | 'forwarded_for'>,
  trustProxy: number,
): Finding => {
  const forgedAt = forwarded_for.lastIndexOf(FORGED_ADDRESS);
  // Each proxy adds the address that it saw behind what came; or puts its own list in the place of it.
  const proxies = forwarded_for.length - (forgedAt + 1);
  const mend = `Set TRUST_PROXY=${proxies}.`;
  if (address === FORGED_ADDRESS)
    return fail(
      'proxy',
      `Clients can choose the address that they are counted by: TRUST_PROXY is ${trustProxy}, and ${proxies} proxies say who came.`,
      `${mend} The proxy has to set X-Forwarded-For, or add to it.`,
    );
  if (proxies > trustProxy)
    return fail(
      'proxy',
      `Everybody is counted as one network: ${proxies} proxies say who came, and TRUST_PROXY is ${trustProxy}.`,
      mend,
    );
  if (proxies < trustProxy)
    return warn('proxy', `TRUST_PROXY is ${trustProxy}, and ${proxies} proxies say who came.`, mend);
  return ok(
    'proxy',
    proxies === 0 ? 'There is none, and none is believed.' : `The last ${proxies} are believed, and are there.`,
  );
};

/** Comes as somebody who makes up what a proxy would say, and asks the server what it makes of that. */
export const checkProxies = async (
  { issuer, trustProxy, mtls }: Config,
  masterKey: string | undefined,
): Promise<Finding[]> => {
  if (masterKey === undefined) return [skipped('proxy', 'Without a MASTER_KEY the server does not say what it sees.')];
  const response = await get(`${issuer}/health`, {
    [SEEN_HEADER]: seenQuestion(createSecrets(masterKey)),
    'x-forwarded-for': FORGED_ADDRESS,
    ...(mtls.certificateHeader && { [mtls.certificateHeader]: FORGED_CERTIFICATE }),
  });
  const health = await json(response);
  const findings: Finding[] = [];
  if (health?.status !== 'up')
    findings.push(fail('health', `${issuer}/health answers ${response.status}.`, 'See which store it names as down.'));
  else if (health.version !== packageJson.version)
    findings.push(
      warn(
        'health',
        `The server is version ${String(health.version).slice(0, 40)}, this is ${packageJson.version}.`,
        'Finish the deployment, or run the doctor of that version.',
      ),
    );
  const seen = health?.seen as Seen | undefined;
  if (!seen) {
    const mend = 'Start every process with the same MASTER_KEY, and let the proxy hand on every header.';
    return [...findings, fail('proxy', 'The server does not say what it sees: it has another MASTER_KEY.', mend)];
  }
  if (seen.certificate_header === FORGED_CERTIFICATE)
    findings.push(
      fail(
        'proxy',
        'Clients can send the header that their certificate is read from, and be whoever they like.',
        `Let the proxy set ${mtls.certificateHeader} on every request, also where there is no certificate.`,
      ),
    );
  return [...findings, judgeProxies(seen, trustProxy)];
};
