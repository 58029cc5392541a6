// What the checks of `npm run doctor` say, and that no secret is in it: shared by its tests.
import type { Finding } from '../../scripts/doctor/finding.ts';
import { type Config, readConfig } from '../../src/config.ts';
import { temporaryDir } from './service.ts';

export const MASTER_KEY = 'a master key for tests, 32 bytes or more';

export const configOf = (env: Record<string, string> = {}): Config =>
  readConfig({ MASTER_KEY, DATA_DIR: temporaryDir(), ...env }).config;

export const PRODUCTION = configOf({
  NODE_ENV: 'production',
  ISSUER: 'https://id.example.com',
  JWT_SECRET_KEY: 'N7bq2XcV9sLmT4wRzK1yHd6uPf8jGa3eQo5iMn0t',
  MASTER_KEY: 'Zp4cWk8xVt2mRq9sLb6nHy3dJg7fTa1eUo5iCw0v',
  DATABASE_URL: 'postgres://localhost/x',
  REDIS_URL: 'redis://localhost',
  SMTP_URL: 'smtp://localhost',
});

/** `status check: what it says`, of each finding. */
export const told = (findings: Finding[]): string =>
  findings.map(({ status, check, says }) => `${status} ${check}: ${says}`).join('\n');

export const isFine = (findings: Finding[]): boolean => findings.every(({ status }) => status === 'ok');
