// The audit log: what its route takes and answers.
import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { Moment, PageQuery, QueryText } from '../page-query.ts';
import * as examples from './examples.ts';

export const AuditQuery = z.strictObject({
  type: QueryText.optional().describe('Such as `user.banned`.'),
  actor: QueryText.optional().describe('The id of the user who did it.'),
  target: QueryText.optional().describe('The id of the user, or the name of what else it was done to.'),
  client: QueryText.optional().describe('The OAuth client it was done through.'),
  from: Moment.optional(),
  to: Moment.optional().describe('Not included.'),
  ...PageQuery,
});

export const RecordedEvent = z.strictObject({
  seq: z.int().describe('Its place in the log.'),
  time: z.iso.datetime(),
  type: z.string(),
  actor: z.string().optional(),
  target: z.string().optional(),
  client: z.string().optional(),
  key: z.string().optional().describe('The id of the API key that was used.'),
  ip: z.string().optional(),
  user_agent: z.string().optional(),
  request_id: z.string().optional(),
  details: z.record(z.string(), z.unknown()).optional(),
});

export const AuditPage = z.strictObject({ items: z.array(RecordedEvent), next_cursor: z.string().nullable() });

export const adminAuditOperations = {
  'GET /admin/audit': {
    summary: 'Read the audit log',
    description: 'Newest first. All filters that are given have to hold. New events do not move the pages that follow.',
    auth: 'bearer or key',
    scope: 'read:audit',
    query: AuditQuery,
    answers: {
      200: {
        description: 'A page of events.',
        body: AuditPage,
        example: { items: [examples.event], next_cursor: 'v1.Zm9v…' },
      },
    },
    problems: [422],
  },
} satisfies Operations;
