// RFC 7591 and RFC 7592.
import { z } from 'zod';
import { ASKED_METADATA, TOLD_METADATA } from '../../oidc/client-metadata.ts';
import type { Operations } from '../operation.ts';

/** What nobody here knows is left out, not refused (RFC 7591 §2). */
export const RequestedRegistration = z.looseObject(ASKED_METADATA);

const Registered = z.strictObject({
  client_id: z.string(),
  client_id_issued_at: z.int(),
  client_secret: z.string().optional().describe('When it was made just now; it is not shown again'),
  client_secret_expires_at: z.literal(0).optional(),
  ...TOLD_METADATA,
  registration_client_uri: z.string(),
  registration_access_token: z.string().describe('What the client manages its registration with'),
});

const example = {
  client_id: 'Zm9vYmFyYmF6cXV4cXV1eA',
  client_id_issued_at: 1_793_520_000,
  client_name: 'Acme Notes',
  redirect_uris: ['http://127.0.0.1/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
  registration_client_uri: 'https://id.example.com/oauth/register/Zm9vYmFyYmF6cXV4cXV1eA',
  registration_access_token: 'dGhl…',
};
const requested = {
  client_name: 'Acme Notes',
  redirect_uris: ['http://127.0.0.1/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'none',
};
const tag = 'Clients that register themselves';

export const clientRegistrationOperations = {
  'POST /oauth/register': {
    tag,
    summary: 'Registers a client (RFC 7591 §3.1)',
    description:
      'Where `DCR` is `token`, with an initial access token as bearer token; where it is `open`, without one too: then within limits, ' +
      'and people are told that the app is not verified.',
    auth: 'bearer',
    body: RequestedRegistration,
    example: requested,
    answers: { 201: { description: 'The client', body: Registered, example } },
    oauthErrors: [400, 401, 429],
  },
  'GET /oauth/register/:clientId': {
    tag,
    summary: 'Shows a client its registration (RFC 7592 §2.1)',
    description: 'The bearer token is the registration access token.',
    auth: 'bearer',
    answers: { 200: { description: 'The client', body: Registered, example } },
    oauthErrors: [401, 429],
  },
  'PUT /oauth/register/:clientId': {
    tag,
    summary: 'Replaces the metadata of a client (RFC 7592 §2.2)',
    description: 'The registration access token is another one afterwards.',
    auth: 'bearer',
    body: RequestedRegistration,
    example: { client_id: example.client_id, ...requested },
    answers: { 200: { description: 'The client as it is now', body: Registered, example } },
    oauthErrors: [400, 401, 429],
  },
  'DELETE /oauth/register/:clientId': {
    tag,
    summary: 'Ends a registration (RFC 7592 §2.3)',
    description: 'Grants and tokens of the client end with it.',
    auth: 'bearer',
    answers: { 204: { description: 'It is gone' } },
    oauthErrors: [400, 401, 429],
  },
} satisfies Operations;
