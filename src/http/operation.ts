import type { z } from 'zod';

/** What a status means, and the body's form; `headers` are what always comes along, beyond what follows from the rest. */
export type Answer = {
  description: string;
  body?: z.ZodType;
  type?: string;
  example?: unknown;
  headers?: Record<string, string>;
};

/**
 * What a route takes and answers, in the very schemas that it validates with. The API's description is made from these, and
 * the tests hold every answer against it.
 */
export type Operation = {
  /** The group it is listed under; by default one is found from the path. */
  tag?: string;
  summary: string;
  description?: string;
  /** How a caller shows who they are; 'bearer' alone where no API key is taken, 'client' by RFC 6749 §2.3. */
  auth: 'none' | 'bearer' | 'bearer or key' | 'client';
  /** The scope it needs. */
  scope?: string;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** The body's media type, JSON when absent. */
  bodyType?: string;
  /** An example of the body. */
  example?: unknown;
  /** Status → what it means and the body's form. */
  answers: Record<number, Answer>;
  /** Statuses answered with problem details (RFC 9457), beyond those that follow from `auth`, `scope`, `body` and `query`. */
  problems?: number[];
  /** Statuses answered with an OAuth error (RFC 6749 §5.2) in place of problem details. */
  oauthErrors?: number[];
  /** Whether every answer that got as far as the throttle says what is left of its budget. */
  throttled?: boolean;
};

/** By method and path as the router spells it: `GET /users/api-keys/:id`. */
export type Operations = Record<`${'GET' | 'POST' | 'PUT' | 'DELETE'} /${string}`, Operation>;
