// What a person finds in their mail.
import type { Posted } from '../../src/mail/outbox.ts';
import type { TestServer } from './server.ts';

type Message = Posted['message'];

/** What was mailed to this address, newest first. */
export const mailsTo = async (server: TestServer, email: string): Promise<Message[]> =>
  (await server.mail.kept(1_000)).filter(({ to }) => to.email === email).map(({ message }) => message);

/** The link in the newest mail of this kind. */
export const linkTo = async (server: TestServer, email: string, template: Message['template']): Promise<URL> => {
  const message = (await mailsTo(server, email)).find((one) => one.template === template);
  if (!message || !('link' in message)) throw new Error(`no ${template} was mailed to ${email}`);
  return new URL(message.link);
};

/** The token in it. */
export const tokenTo = async (server: TestServer, email: string, template: Message['template']): Promise<string> =>
  (await linkTo(server, email, template)).searchParams.get('token') ?? '';
