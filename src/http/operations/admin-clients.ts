import { z } from 'zod';
import { ASKED_METADATA, TOLD_METADATA } from '../../oidc/client-metadata.ts';
import type { Operations } from '../operation.ts';
import { PageQuery } from '../page-query.ts';
import * as examples from './examples.ts';

const asked = {
  ...ASKED_METADATA,
  client_id: z.string().min(1).max(200).optional(),
  client_secret: z.string().min(1).max(1000).optional(),
  /** One of the platform's own apps, whose users are not asked for consent. */
  first_party: z.boolean().default(false),
};

export const NewClient = z.strictObject(asked);
/** The whole of it: what is left out is gone. */
export const ChangedClient = z.strictObject(asked);

/** A place in the list: the client_id it goes on after. */
const Cursor = z
  .base64url()
  .max(400)
  .transform((text) => Buffer.from(text, 'base64url').toString())
  .refine((clientId) => /^[\x21-\x7e]{1,200}$/.test(clientId), 'is no cursor of this list');

export const ClientQuery = z.strictObject({
  /** What the client_id or the name begins with, in any letter case. */
  q: z
    .string()
    .regex(/^\P{Cc}*$/u, 'has control characters')
    .refine((text) => text.isWellFormed(), 'has half a character')
    .max(200)
    .default(''),
  limit: PageQuery.limit,
  cursor: Cursor.optional(),
});

export const SecretRotation = z.strictObject({
  overlap_seconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(86_400),
});

const Client = z
  .strictObject({
    client_id: z.string(),
    ...TOLD_METADATA,
    first_party: z.boolean(),
    /** How it registered itself: by anybody, or by an initial access token; null for one that was registered for it. */
    registration: z.enum(['open', 'token']).nullable(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    previous_secret_expires_at: z.iso.datetime().optional(),
  })
  .meta({ id: 'Client' });
const ClientWithSecret = Client.extend({
  client_secret: z.string().optional(),
  client_secret_expires_at: z.literal(0).optional(),
});
const Clients = z.strictObject({
  items: z.array(Client),
  next_cursor: z.string().nullable(),
  total: z.int(),
});

const example = {
  client_name: 'Acme Notes',
  redirect_uris: ['https://acme.example/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
};

export const adminClientOperations = {
  'GET /admin/clients': {
    summary: 'List clients',
    description: 'By client_id. `q` is what the client_id or the name begins with.',
    auth: 'bearer or key',
    scope: 'read:clients',
    query: ClientQuery,
    answers: {
      200: {
        description: 'One page; `next_cursor` is null on the last.',
        body: Clients,
        example: { items: [examples.client], next_cursor: null, total: 1 },
      },
    },
    problems: [401, 403, 422],
  },
  'POST /admin/clients': {
    summary: 'Register a client',
    description:
      'RFC 7591 metadata. A client_id and, where the client authenticates by one, a secret are made up when absent. ' +
      'The secret is in this answer alone.',
    auth: 'bearer or key',
    scope: 'write:clients',
    body: NewClient,
    example,
    answers: {
      201: { description: 'The client, with its secret.', body: ClientWithSecret, example: examples.freshClient },
    },
    problems: [400, 401, 403, 409, 413, 415, 422],
  },
  'GET /admin/clients/:clientId': {
    summary: 'Show a client',
    auth: 'bearer or key',
    scope: 'read:clients',
    answers: { 200: { description: 'The client, defaults filled in.', body: Client, example: examples.client } },
    problems: [401, 403, 404],
  },
  'PUT /admin/clients/:clientId': {
    summary: 'Replace the metadata of a client',
    description:
      'As RFC 7592 §2.2: the whole of it, so that what is left out is gone. The secret stays; a client that had none and needs ' +
      'one now is given one.',
    auth: 'bearer or key',
    scope: 'write:clients',
    body: ChangedClient,
    example,
    answers: {
      200: { description: 'The client as it is now.', body: ClientWithSecret, example: examples.freshClient },
    },
    problems: [400, 401, 403, 404, 409, 413, 415, 422],
  },
  'DELETE /admin/clients/:clientId': {
    summary: 'Delete a client',
    description: 'Its grants and tokens end with it.',
    auth: 'bearer or key',
    scope: 'write:clients',
    answers: { 204: { description: 'It is gone.' } },
    problems: [401, 403, 404, 409],
  },
  'POST /admin/clients/:clientId/secret': {
    summary: 'Rotate the secret of a client',
    description:
      'The former secret is taken for `overlap_seconds` more: a day when absent, 30 days at most, 0 for not at all. The new one ' +
      'is in this answer alone. There is one former secret at most: rotating again within the overlap ends the one before at once.',
    auth: 'bearer or key',
    scope: 'write:clients',
    body: SecretRotation,
    example: { overlap_seconds: 3600 },
    answers: {
      200: { description: 'The client, with its new secret.', body: ClientWithSecret, example: examples.freshClient },
    },
    problems: [400, 401, 403, 404, 409, 413, 415, 422],
  },
} satisfies Operations;
