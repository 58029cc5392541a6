// Makes a token that somebody registers clients with: npm run create-initial-access-token -- --name NAME [--uses N] [--expires-in SECONDS]
// The answer has the token, which is not shown again.

import { NewInitialAccessToken } from '../src/http/operations/admin-initial-access-tokens.ts';
import { faultsOf } from '../src/http/validate.ts';
import { argumentsOf, required, script, UsageError, withApp } from './with-app.ts';

const USAGE = '--name NAME [--uses N] [--expires-in SECONDS]';

await script(async () => {
  const given = argumentsOf(
    { name: { type: 'string' }, uses: { type: 'string' }, 'expires-in': { type: 'string' } },
    USAGE,
  );
  const parsed = NewInitialAccessToken.safeParse({
    name: required(given.name, 'name', USAGE),
    ...(given.uses !== undefined && { uses: Number(given.uses) }),
    ...(given['expires-in'] !== undefined && { expires_in: Number(given['expires-in']) }),
  });
  if (!parsed.success) {
    const [fault] = faultsOf(parsed.error);
    throw new UsageError(`--${fault?.path.replace('_', '-')}: ${fault?.message} (usage: ${USAGE})`);
  }
  const { name, uses, expires_in: expiresInSeconds } = parsed.data;
  return withApp(async ({ initialAccessTokens }) => {
    const token = await initialAccessTokens.create({ name, uses, expiresInSeconds }, null);
    return {
      id: token.id,
      name: token.name,
      initial_access_token: token.value,
      uses_left: token.usesLeft,
      expires_at: token.expiresAt,
    };
  });
});
