// Which of the variables that are set are probably meant to be ours.

/** Variables set under a name that is nearly a known one. Cautious, for an environment is full of other programs' names. */
export function misspellings(env: Record<string, string | undefined>, known: readonly string[]): string[] {
  return Object.keys(env).flatMap((name) => {
    if (!env[name] || name.length < 4 || known.includes(name)) return [];
    const meant = known.find((candidate) => resembles(name.toUpperCase(), candidate));
    return meant ? [`${name} is not a known variable; did you mean ${meant}?`] : [];
  });
}

function resembles(name: string, known: string): boolean {
  // POST, HOSTS and PORTS are words of their own, so four letters must be the same four.
  if (known.length === 4)
    return name.length === 4 && name !== known && edits(name, known) === 1 && sorted(name) === sorted(known);
  if (name.replaceAll('_', '') === known.replaceAll('_', '')) return true;
  if (known.startsWith(name) && name.length >= known.length * 0.7) return true;
  // Word by word, a short word bearing one edit: REDIS_SSL and GITLAB_CLIENT_ID are no misspellings.
  const words = known.split('_');
  const others = name.split('_');
  if (words.length !== others.length) return false;
  const distances = words.map((word, i) => edits(word, others[i] ?? ''));
  const total = distances.reduce((sum, distance) => sum + distance, 0);
  return (
    total <= (known.length < 9 ? 1 : 2) && words.every((word, i) => (distances[i] ?? 0) <= (word.length < 7 ? 1 : 2))
  );
}

const sorted = (word: string) => [...word].sort().join('');

/** Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions, neighbours swapped. */
function edits(a: string, b: string): number {
  const rows: number[][] = Array.from({ length: a.length + 1 }, (_, i) => [i]);
  const at = (i: number, j: number) => rows[i]?.[j] ?? j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(i - 2, j - 2) + 1 : Infinity;
      const substituted = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      rows[i]?.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, substituted, swapped));
    }
  }
  return at(a.length, b.length);
}
