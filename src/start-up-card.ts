import { resolve } from 'node:path';
import type { Config } from './config.ts';
import type { Demo } from './demo.ts';

const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1']);

/** What somebody who has just typed `npm start` wants to know, and nothing else. */
export const startUpCard = (config: Config, port: number, stores: string, demo: Demo | undefined): string => {
  const { issuer, dataDir, host, smtpUrl, tls } = config;
  const rows: [string, string][] = [
    ['Issuer', issuer],
    ['Listening on', `${host}:${port}${tls ? ' (https)' : ''}`],
    ['Discovery', `${issuer}/.well-known/openid-configuration`],
    ['Sign in', `${issuer}/login`],
    ['API docs', `${issuer}/docs`],
    // With SMTP_URL they are where they were sent.
    ...(smtpUrl === undefined ? [['Emails', `${issuer}/dev/mail`] as [string, string]] : []),
    ['Data', resolve(dataDir)],
    ['Stores', stores],
  ];
  if (demo) {
    rows.push([
      'Demo user',
      demo.password ? `${demo.email}  password ${demo.password}` : `${demo.email} (password changed)`,
    ]);
    if (demo.clientSecret) rows.push(['Demo client', `${demo.clientId}  secret ${demo.clientSecret}`]);
    // From another machine, or out of a container, the demo would not find its secret.
    if (LOOPBACK.has(host))
      rows.push(['Try it', 'npm run demo   (in a second terminal, then open http://localhost:8300)']);
  }
  const width = Math.max(...rows.map(([name]) => name.length));
  return `\n  User Auth is ready\n\n${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}\n`).join('')}\n`;
};
