// Markdown of a text that grows: what is finished of it is read once.

import {lexer} from '../vendor/marked/marked.js';

const readings = new WeakMap(); // by block that is live: `{text, tokens, finished, open}`; from `open` on it is read again

/**
 * The tokens of a block's text. While it is `live` the text grows at its end, and only the last part
 * of it is read again: the tokens before are the same objects. A finished one is read as a whole,
 * because a link may be defined at the end.
 */
export function tokensOf(block) {
  const {text, live} = block;
  const known = readings.get(block);
  if (live && known?.text === text) return known.tokens;
  const goesOn = live && known && text.startsWith(known.text) && !text.includes('\r'); // which the lexer replaces
  const open = goesOn ? known.open : 0;
  const fresh = lexer(text.slice(open));
  const tokens = goesOn ? [...known.tokens.slice(0, known.finished), ...fresh] : fresh;
  const finished = Math.max(0, tokens.findLastIndex((token) => token.type !== 'space'));
  const rest = tokens.slice(finished).reduce((sum, token) => sum + token.raw.length, 0);
  if (live) readings.set(block, {text, tokens, finished, open: text.length - rest});
  else readings.delete(block); // what stands in the page has them, and no other block needs any
  return tokens;
}
