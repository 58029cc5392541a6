// For whoever starts the service other than by npm start: Node is given the same.
import manifest from '../package.json' with { type: 'json' };

/** Node's own options in `npm start`. */
export const AS_STARTED = manifest.scripts.start.split(' ').filter((word) => word.startsWith('--'));
