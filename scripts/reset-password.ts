// Sets a user's password and ends their sessions and tokens: npm run reset-password -- --email ADDRESS --password PASSWORD
import { argumentsOf, required, script, withApp } from './with-app.ts';

const USAGE = '--email ADDRESS --password PASSWORD';

await script(async () => {
  const { email, password } = argumentsOf({ email: { type: 'string' }, password: { type: 'string' } }, USAGE);
  const address = required(email, 'email', USAGE);
  const chosen = required(password, 'password', USAGE);
  const user = await withApp(({ accounts, audit }) =>
    accounts.setPassword(address, chosen, (changed) =>
      audit.record({ type: 'password.reset', target: changed.id, details: { by: 'reset-password' } }),
    ),
  );
  return { id: user.id, email: user.email };
});
