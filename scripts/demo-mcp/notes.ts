// What the demo serves: notes, each person's own, kept for as long as the process runs.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { z } from 'zod';
import type { Holder } from './bearer.ts';

/** Scope → what it lets an app do, as the consent page says it. */
export const SCOPES = {
  'notes:read': { en: 'Read your notes in the demo', 'zh-CN': '读取您在演示中的笔记' },
  'notes:write': { en: 'Add notes to the demo', 'zh-CN': '向演示添加笔记' },
} as const;

/** Without it there is nothing to talk about. */
export const LEAST_SCOPE = 'notes:read';

/** What single tools need beyond that. */
export const TOOL_SCOPES: Record<string, keyof typeof SCOPES> = { add_note: 'notes:write' };

const MOST_NOTES = 100;

const said = (text: string) => ({ content: [{ type: 'text' as const, text }] });

export type Notes = ReturnType<typeof createNotes>;

export const createNotes = () => {
  const notes = new Map<string, string[]>();
  return {
    /** The server as this person sees it. */
    serverFor({ sub, clientId, scopes }: Holder): McpServer {
      const server = new McpServer({ name: 'user-auth-demo', version: '1.0.0' });
      server.registerTool('whoami', { description: 'Who is asking, through which app, with which scopes' }, () =>
        said(JSON.stringify({ sub, client_id: clientId, scope: [...scopes].join(' ') })),
      );
      server.registerTool('list_notes', { description: 'Your notes' }, () =>
        said((notes.get(sub) ?? []).join('\n') || 'There are no notes.'),
      );
      server.registerTool(
        'add_note',
        {
          description: 'Adds a note (needs notes:write)',
          inputSchema: { text: z.string().trim().min(1).max(1000) },
        },
        ({ text }) => {
          notes.set(sub, [...(notes.get(sub) ?? []), text].slice(-MOST_NOTES));
          return said('Added.');
        },
      );
      return server;
    },
  };
};
