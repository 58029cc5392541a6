import type { Operations } from '../operation.ts';
import { authOperations } from './auth.ts';
import { oauthOperations } from './oauth.ts';

/** Everything that is documented. */
export const allOperations: Operations = { ...authOperations, ...oauthOperations };
