// Where things are on the page.

/** The path of a session's screen, without the mark of a fragment. */
export function sessionPath(summary) {
  return `s/${encodeURIComponent(summary.info.name || summary.id)}`;
}
