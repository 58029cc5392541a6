// Creates a user: npm run create-user -- --email ADDRESS --password PASSWORD [--username NAME] [--role user|admin] [--verified]
import { argumentsOf, required, script, UsageError, withApp } from './with-app.ts';

const USAGE = '--email ADDRESS --password PASSWORD [--username NAME] [--role user|admin] [--verified]';

await script(async () => {
  const { email, password, username, role, verified } = argumentsOf(
    {
      email: { type: 'string' },
      password: { type: 'string' },
      username: { type: 'string' },
      role: { type: 'string' },
      verified: { type: 'boolean' },
    },
    USAGE,
  );
  if (role !== undefined && role !== 'user' && role !== 'admin')
    throw new UsageError(`--role is user or admin (usage: ${USAGE})`);
  const account = {
    email: required(email, 'email', USAGE),
    password: required(password, 'password', USAGE),
    username,
    role,
    emailVerified: verified ?? false,
  } as const;
  const user = await withApp(({ accounts, audit }) =>
    accounts.create(account, (created) =>
      audit.record({
        type: 'user.created',
        target: created.id,
        details: { role: created.role, by: 'create-user' },
      }),
    ),
  );
  return {
    id: user.id,
    email: user.email,
    username: user.username,
    role: user.role,
    email_verified: user.emailVerified,
  };
});
