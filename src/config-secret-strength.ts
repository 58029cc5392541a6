// How secrets get filled in by people who mean to change them later.
const placeholder =
  /change[-_ ]?(me|this|it)|replace[-_ ]?(me|this|with)|your[-_ ]?(\w+[-_ ])?(secret|key)|keyboard[-_ ]?cat|placeholder/i;
const filler =
  /secret|jwt|key|token|random|string|long|least|minimum|bytes?|bits?|characters?|chars?|production|development|change|please|must|should|very|super|default|example|sample|insecure|unsafe|password|admin|here|this|that|with|your|only|dev|test|local|qwerty|user|auth|[-_.\s]/gi;

/** Whether someone who knows how secret settings get filled in might try this one. */
export function isGuessable(value: string): boolean {
  const core = value.replace(filler, '');
  const mostlyProse = placeholder.test(value) || core.length < value.length / 2;
  const fewSymbols = new Set(core).size < 6;
  const runs = [...core].filter((_, i) => Math.abs(core.charCodeAt(i) - core.charCodeAt(i - 1)) === 1);
  const repeats = [...core].some((_, i) => i > 0 && i <= core.length / 2 && core.slice(i) === core.slice(0, -i));
  return mostlyProse || fewSymbols || runs.length > core.length / 2 || repeats;
}
