/**
 * Prose, written once for a terminal, a script and a page of Markdown.
 *
 * 'ls -l' is code and **this** is bold. Flags (--fork, -a), paths (/proc) and man pages (proc(5))
 * are known by their looks.
 */
import { $ as colours, bold, cyan } from "kleur/colors";

const marks = [
  /\*\*(?<strong>.+?)\*\*/,
  // As GNU quotes what one types; never within a word, where it is an apostrophe.
  /(?<![\w'])'(?<code>[^'\s](?:[^']*[^'\s])?)'(?!\w)/,
  /\b(?<name>[a-z][\w.-]*)\((?<section>\d)\)/,
  /(?<![^\s(])(?<looks>--?[A-Za-z][\w-]*|\/(?:[\w*-]+(?:[./][\w*-]+)*\/?)?)(?![\w/])/,
];
const mark = new RegExp(marks.map(({ source }) => source).join("|"), "g");

interface Style {
  strong(text: string): string;
  /** @param written as it stands in the chapter, with quotes if it has some */
  code(text: string, written: string): string;
  page(page: string, name: string, section: string): string;
}

const styled = (style: Style) =>
  function render(prose: string): string {
    return prose.replace(mark, (written: string, ...rest) => {
      const { strong, code, looks, name, section } = rest.at(-1) as Record<string, string>;
      if (strong) return style.strong(render(strong));
      if (name) return style.page(written, name, section!);
      return style.code((code ?? looks)!, written);
    });
  };

/** For a terminal: coloured. Without colours, quotes do what they always did. Code is not broken. */
export const forScreen = styled({
  strong: bold,
  code: (text, written) => (colours.enabled ? cyan(text) : written).replaceAll(" ", "\u00a0"),
  page: (page) => page,
});

/** For a comment in a script. */
export const forScript = styled({
  strong: (text) => text,
  code: (_, written) => written,
  page: (page) => page,
});

/** For Markdown; man pages are links. */
export const forMarkdown = styled({
  strong: (text) => `**${text}**`,
  code: (text) => `\`${text}\``,
  page: (page, name, section) =>
    `[${page}](https://man7.org/linux/man-pages/man${section}/${name}.${section}.html)`,
});
