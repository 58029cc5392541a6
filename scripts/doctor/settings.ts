import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../src/config.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const LOCAL = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|.*\.localhost)$/;

export const isLocal = (url: string): boolean => LOCAL.test(new URL(url).hostname);

const readableByOthers = (path: string): boolean => {
  try {
    return (statSync(path).mode & 0o077) !== 0;
  } catch {
    return false;
  }
};

/** What the configuration permits, and should not where it is. */
export const checkSettings = (config: Config, warnings: string[]): Finding[] => {
  const { production, issuer, logLevel, registration, masterKey, dataDir } = config;
  const found = warnings.map((text) => warn('configuration', text, 'Mend the variable that is named.'));
  if (!production && !isLocal(issuer))
    found.push(
      fail(
        'configuration',
        `${issuer} is a public name, and NODE_ENV is not production: there are a demo user and generated secrets.`,
        'Set NODE_ENV=production and what it asks for.',
      ),
    );
  if (production && masterKey === undefined)
    found.push(
      warn(
        'configuration',
        'MASTER_KEY is not set, so that JWT_SECRET_KEY takes its place and can never be changed.',
        'Set MASTER_KEY to the JWT_SECRET_KEY of today, then change JWT_SECRET_KEY.',
      ),
    );
  if (production && ['debug', 'trace'].includes(logLevel))
    found.push(warn('configuration', `LOG_LEVEL is ${logLevel}: the log may name people.`, 'Set LOG_LEVEL=info.'));
  if (production && registration === 'open')
    found.push(
      warn(
        'configuration',
        'DCR=open: anybody can register apps.',
        'Set DCR=token and give out initial access tokens, unless this is meant.',
      ),
    );
  if (!production && readableByOthers(join(dataDir, 'secrets.json')))
    found.push(
      fail(
        'configuration',
        `Other users of this machine can read ${join(dataDir, 'secrets.json')}.`,
        `chmod 600 ${join(dataDir, 'secrets.json')}, and make it anew if they may have.`,
      ),
    );
  if (found.length > 0) return found;
  return [ok('configuration', `It works, as ${production ? 'production' : 'development'} at ${issuer}.`)];
};
