import type { Operations } from '../operation.ts';
import { adminAuditOperations } from './admin-audit.ts';
import { adminClientOperations } from './admin-clients.ts';
import { adminImportOperations } from './admin-import.ts';
import { adminKeyOperations } from './admin-keys.ts';
import { adminResourceOperations } from './admin-resources.ts';
import { adminUsersOperations } from './admin-users.ts';
import { apiKeyOperations } from './api-keys.ts';
import { appOperations } from './apps.ts';
import { authOperations } from './auth.ts';
import { exportOperations } from './export.ts';
import { identityOperations } from './identities.ts';
import { oauthOperations } from './oauth.ts';
import { sessionOperations } from './sessions.ts';
import { userOperations } from './users.ts';

/** Everything that is documented. */
export const allOperations: Operations = {
  ...authOperations,
  ...userOperations,
  ...exportOperations,
  ...appOperations,
  ...identityOperations,
  ...sessionOperations,
  ...apiKeyOperations,
  ...adminUsersOperations,
  ...adminImportOperations,
  ...adminClientOperations,
  ...adminAuditOperations,
  ...adminKeyOperations,
  ...adminResourceOperations,
  ...oauthOperations,
};
