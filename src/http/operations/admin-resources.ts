import { z } from 'zod';
import { ALGORITHMS } from '../../oidc/keys.ts';
import type { Operations } from '../operation.ts';
import * as examples from './examples.ts';
import { NoBody } from './fields.ts';

const text = (most: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(most)
    .regex(/^\P{Cc}*$/u, 'has control characters')
    .refine((value) => value.isWellFormed(), 'has half a character');
const Identifier = text(1000);
const words = text(300);
// RFC 6749 §3.3: scope-token
const ScopeName = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/, 'must be printable ASCII without spaces, " and \\');
const Scope = z.strictObject({
  name: ScopeName,
  /** What it lets an app do, to go on from “it will be able to”. */
  description: z.strictObject({ en: words, 'zh-CN': words.optional() }),
});

const DetailType = z.strictObject({
  /** As requests name it, such as payment_initiation. */
  type: z.string().regex(/^[\w.:/-]{1,200}$/, 'must be letters, digits and . : / _ -'),
  description: z.strictObject({ en: words, 'zh-CN': words.optional() }),
  fields: z
    .array(
      z.strictObject({
        name: z.string().regex(/^(?!type$|locations$)[A-Za-z]\w{0,99}$/, 'must be a name, and not type or locations'),
        label: z.strictObject({ en: words, 'zh-CN': words.optional() }),
        required: z.boolean().default(false),
        max_length: z.int().min(1).max(2000).default(200),
      }),
    )
    .max(30),
});

const columns = {
  name: text(200),
  scopes: z.array(Scope).max(100),
  default_scopes: z.array(ScopeName).max(100).default([]),
  token_format: z.enum(['opaque', 'jwt']).default('jwt'),
  access_token_ttl_seconds: z.int().min(60).max(86_400).default(1800),
  signing_alg: z.enum(ALGORITHMS).nullable().default(null),
  introspection_clients: z.array(text(200)).max(100).default([]),
  /** RFC 9396: what can be asked for in detail. */
  authorization_details_types: z.array(DetailType).max(20).default([]),
};

export const NewResource = z.strictObject({ identifier: Identifier, ...columns });
/** The whole of it: what is left out is as if it had never been set. */
export const ChangedResource = z.strictObject(columns);

/** The identifier is a URI of its own: it is asked for in the query. */
export const ResourceQuery = z.strictObject({ identifier: Identifier });
export const ResourceListQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z
    .base64url()
    .max(2000)
    .transform((encoded) => Buffer.from(encoded, 'base64url').toString())
    .refine((identifier) => /^\P{Cc}*$/u.test(identifier), 'is no cursor of this list')
    .optional(),
});
export const RemovedResource = NoBody;

const Resource = z
  .strictObject({
    identifier: z.string(),
    name: z.string(),
    scopes: z.array(Scope),
    default_scopes: z.array(z.string()),
    token_format: z.enum(['opaque', 'jwt']),
    access_token_ttl_seconds: z.int(),
    signing_alg: z.enum(ALGORITHMS).nullable(),
    introspection_clients: z.array(z.string()),
    authorization_details_types: z.array(DetailType),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: 'ResourceServer' });
const Resources = z.strictObject({ items: z.array(Resource), next_cursor: z.string().nullable() });

const { created_at: _, updated_at: __, ...example } = examples.resource;
const { identifier: ___, ...changed } = example;

export const adminResourceOperations = {
  'GET /admin/resources': {
    summary: 'List the resource servers',
    description: 'The APIs that apps can ask tokens for by `resource` (RFC 8707), by identifier.',
    auth: 'bearer or key',
    scope: 'read:resources',
    query: ResourceListQuery,
    answers: {
      200: {
        description: 'One page; `next_cursor` is null on the last.',
        body: Resources,
        example: { items: [examples.resource], next_cursor: null },
      },
    },
    problems: [401, 403, 422],
  },
  'POST /admin/resources': {
    summary: 'Register a resource server',
    auth: 'bearer or key',
    scope: 'write:resources',
    body: NewResource,
    example,
    answers: { 201: { description: 'The resource server.', body: Resource, example: examples.resource } },
    problems: [400, 401, 403, 409, 413, 415, 422],
  },
  'GET /admin/resources/one': {
    summary: 'Show a resource server',
    auth: 'bearer or key',
    scope: 'read:resources',
    query: ResourceQuery,
    answers: { 200: { description: 'The resource server.', body: Resource, example: examples.resource } },
    problems: [401, 403, 404, 422],
  },
  'PUT /admin/resources/one': {
    summary: 'Replace a resource server',
    description: 'The whole of it, so that what is left out is gone. Every process goes by it within a second.',
    auth: 'bearer or key',
    scope: 'write:resources',
    query: ResourceQuery,
    body: ChangedResource,
    example: changed,
    answers: { 200: { description: 'The resource server as it is now.', body: Resource, example: examples.resource } },
    problems: [400, 401, 403, 404, 413, 415, 422],
  },
  'DELETE /admin/resources/one': {
    summary: 'Delete a resource server',
    description: 'No more tokens are issued for it; those that are there end by themselves.',
    auth: 'bearer or key',
    scope: 'write:resources',
    query: ResourceQuery,
    answers: { 204: { description: 'It is gone.' } },
    problems: [401, 403, 404, 422],
  },
} satisfies Operations;
