import { setFlagsFromString } from 'node:v8';

/**
 * V8 may come to allocate in the old generation what it saw live long while the service started. Objects of requests that land there
 * keep all they point to from the young generation's collections, in some processes and not in others: those spent a third of their
 * time on copying what was dead.
 */
setFlagsFromString('--no-allocation-site-pretenuring');
