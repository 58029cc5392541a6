/** A sentence cut at its values, so that each form of the mail can set them apart and escape them. */
export type Part = { text: string; isValue: boolean };

/** What a letter shows, from top to bottom. */
export type Letter = {
  /** BCP 47 */
  locale: string;
  appName: string;
  subject: string;
  text: Part[][];
  button?: { label: string; link: string; hint: string };
  notes: Part[][];
  footer: string[];
};

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');

/** A value stands apart from the direction of the text around it. */
const inline = (parts: Part[]): string =>
  parts.map(({ text, isValue }) => (isValue ? `<bdi>${escaped(text)}</bdi>` : escaped(text))).join('');

const FONT =
  "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif";

/**
 * The mail as HTML: styles inline, since mail programs drop others; no image, no table, nothing fetched. No colour but the
 * button's is said: the text takes the reader's own, light or dark.
 */
export const htmlLetter = ({ locale, appName, subject, text, button, notes, footer }: Letter): string => {
  const paragraph = (content: string, style = '') => `<p style="margin:0 0 16px;${style}">${content}</p>`;
  const link = button && escaped(button.link);
  const lines = [
    '<!doctype html>',
    `<html lang="${locale}">`,
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    '<meta name="supported-color-schemes" content="light dark">',
    `<title>${escaped(subject)}</title>`,
    '</head>',
    `<body style="margin:0;padding:24px 20px;${FONT};font-size:16px;line-height:1.5">`,
    '<div style="max-width:480px;margin:0 auto;overflow-wrap:anywhere">',
    paragraph(escaped(appName), 'font-weight:600'),
    `<h1 style="margin:0 0 16px;font-size:22px;line-height:1.25;font-weight:650">${escaped(subject)}</h1>`,
    ...text.map((parts) => paragraph(inline(parts))),
    ...(button
      ? [
          paragraph(
            `<a href="${link}" target="_blank" rel="noopener noreferrer" style="display:inline-block;padding:12px 24px;border-radius:10px;background:#0b5a6b;color:#ffffff;font-weight:600;text-decoration:none">${escaped(button.label)}</a>`,
            'padding:8px 0',
          ),
          paragraph(
            `${escaped(button.hint)}<br><a href="${link}" target="_blank" rel="noopener noreferrer" style="color:inherit;word-break:break-all">${link}</a>`,
            'font-size:14px',
          ),
        ]
      : []),
    ...notes.map((parts) => paragraph(inline(parts))),
    `<p style="margin:24px 0 0;padding:16px 0 0;border-top:1px solid #8a949d;font-size:13px;opacity:.8">${footer.map(escaped).join('<br>')}</p>`,
    '</div>',
    '</body>',
    '</html>',
  ];
  return `${lines.join('\n')}\n`;
};
