const NAMES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Whether a URL's hostname is the own machine's (RFC 8252 §7.3, and the name that people use for it). */
export const isLoopbackHost = (hostname: string): boolean => NAMES.has(hostname);
