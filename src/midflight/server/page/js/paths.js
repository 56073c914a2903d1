// Where things are on the page.

import {state} from './store.js';

/** The path of a session's screen, without the mark of a fragment. */
export function sessionPath(summary) {
  const {name} = summary.info;
  return `s/${encodeURIComponent(!name || state.sessions.has(name) ? summary.id : name)}`; // ids go before names
}
