// Registers what the OpenID Foundation's conformance plans need: npm run conformance-clients -- [--suite URL] [--alias NAME]
// The answer has a user with every standard claim, and each plan's configuration to paste into the suite, secrets and private keys
// included. Run again it replaces them all.

import { loadConfig } from '../src/config.ts';
import type { ProfileChanges } from '../src/domain/accounts.ts';
import { DomainError } from '../src/domain/errors.ts';
import { randomSecret } from '../src/domain/secrets.ts';
import { conformancePlans, type Plan, type PlanSettings, suiteConfiguration } from './conformance/plans.ts';
import { argumentsOf, script, UsageError, withApp } from './with-app.ts';

const USAGE = '[--suite URL] [--alias NAME]';
/** Where the suite is that somebody runs on their own machine. */
const LOCAL_SUITE = 'https://localhost.emobix.co.uk:8443';
const EMAIL = 'conformance@example.com';

/** Every standard claim (OIDC Core §5.1). */
const PROFILE: ProfileChanges = {
  name: 'Conny Formance',
  given_name: 'Conny',
  family_name: 'Formance',
  middle_name: 'O.',
  nickname: 'Con',
  profile: 'https://example.com/conny',
  picture: 'https://example.com/conny.png',
  website: 'https://conny.example.com/',
  gender: 'female',
  birthdate: '1990-02-28',
  zoneinfo: 'Europe/Berlin',
  locale: 'en-GB',
  phone_number: '+14255551212',
  address: {
    formatted: '1 Main Street\nSpringfield, IL 62701\nUSA',
    street_address: '1 Main Street',
    locality: 'Springfield',
    region: 'IL',
    postal_code: '62701',
    country: 'USA',
  },
};

/** Why a plan cannot be run against this server as it is. */
const obstacle = ({ mutualTls = false }: Plan, certificates: boolean): string | undefined =>
  mutualTls && !certificates ? 'it needs mutual TLS: MTLS_CERTIFICATE_HEADER' : undefined;

await script(async () => {
  const { suite = LOCAL_SUITE, alias = 'user-auth' } = argumentsOf(
    { suite: { type: 'string' }, alias: { type: 'string' } },
    USAGE,
  );
  const url = URL.parse(suite);
  if (url?.protocol !== 'https:' || url.href !== `${url.origin}/`)
    throw new UsageError(`--suite is an https origin (usage: ${USAGE})`);
  if (!/^[\w.-]{1,60}$/.test(alias))
    throw new UsageError(`--alias has letters, digits, dots and hyphens (usage: ${USAGE})`);
  const { config } = loadConfig();
  const settings: PlanSettings = { issuer: config.issuer, suite: url.origin, alias, email: EMAIL };
  const plans = await conformancePlans(settings);
  const certificates = config.mtls.certificateHeader !== undefined;
  const known = plans.filter((plan) => obstacle(plan, certificates) === undefined);
  const password = randomSecret(18);

  await withApp(async ({ accounts, clients }) => {
    try {
      await accounts.create({
        email: EMAIL,
        password,
        username: 'conformance',
        emailVerified: true,
        profile: PROFILE,
      });
    } catch (error) {
      if (!(error instanceof DomainError && error.code === 'email_taken')) throw error;
      const { id } = await accounts.setPassword(EMAIL, password);
      await accounts.updateProfile(id, { username: 'conformance', ...PROFILE });
    }
    for (const { clients: needed } of known)
      for (const { metadata } of Object.values(needed)) await clients.ensure(metadata);
  });
  return {
    user: { email: EMAIL, password },
    plans: known.map((plan) => ({
      plan: plan.plan,
      variant: plan.variant,
      configuration: suiteConfiguration(plan, settings),
    })),
    left_out: plans
      .filter((plan) => !known.includes(plan))
      .map((plan) => ({ plan: plan.plan, variant: plan.variant, because: obstacle(plan, certificates) })),
  };
});
