import type { z } from 'zod';

/**
 * What a route takes and answers, in the very schemas that it validates with. The API's description is made from these, and a
 * test holds every answer against them.
 */
export type Operation = {
  summary: string;
  description?: string;
  /** How a caller shows who they are; 'bearer' alone where no API key is taken. */
  auth: 'none' | 'bearer' | 'bearer or key';
  /** The scope it needs. */
  scope?: string;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** The body's media type, JSON when absent. */
  bodyType?: string;
  /** An example of the body. */
  example?: unknown;
  /** Status → what it means and the body's form. */
  answers: Record<number, { description: string; body?: z.ZodType; type?: string }>;
  /** Statuses answered with problem details (RFC 9457), beyond those that every route has. */
  problems?: number[];
};

/** By method and path as the router spells it: `GET /users/api-keys/:id`. */
export type Operations = Record<`${'GET' | 'POST' | 'PUT' | 'DELETE'} /${string}`, Operation>;
