/**
 * Whether a comparison of texts would notice a change.
 */

/**
 * Tells the changes to a text that a comparison does not notice.
 *
 * @param compare throws if it notices
 * @returns the line, and what became of it
 */
export function unnoticed(text: string, compare: (mutant: string) => void): [string, string][] {
  const lines = text.split("\n");
  const notices = (at: number, ...others: string[]) => {
    try {
      compare(lines.toSpliced(at, 1, ...others).join("\n"));
      return false;
    } catch {
      return true;
    }
  };
  return lines.flatMap((line, at) => {
    if (/^>? *$/.test(line)) return [];
    const missed = mutantsOf(line).filter((mutant) => !notices(at, mutant));
    if (!notices(at)) missed.push("(gone)");
    return missed.map((mutant): [string, string] => [line, mutant]);
  });
}

/** A line with another last word, and with another last number. */
function mutantsOf(line: string): string[] {
  const word = line.replace(/[A-Za-z](?=[^A-Za-z]*$)/, "ø");
  const number = line.replace(/\d(?=\D*$)/, (digit) => `${(Number(digit) + 1) % 10}`);
  return [word, number].filter((mutant) => mutant !== line);
}
